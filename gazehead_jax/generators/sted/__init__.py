"""ST-ED (Zheng et al. 2020): a face patch redirected to any gaze and head direction."""
