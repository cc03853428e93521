"""User studies: a page that compares clips in pairs, and what its answers say."""
