import sys

from gazehead_jax.cli import main

sys.exit(main())
