"""A lit 3-D head with eyeballs and lids, drawn by a rasteriser in JAX."""

from gazehead_jax.head3d.groom import groomed_head as groomed_head
from gazehead_jax.head3d.mesh import ANATOMICAL_IRIS as ANATOMICAL_IRIS
from gazehead_jax.head3d.mesh import PEOPLE as PEOPLE
from gazehead_jax.head3d.mesh import HeadMesh as HeadMesh
from gazehead_jax.head3d.mesh import load_head as load_head
from gazehead_jax.head3d.mesh import load_person as load_person
from gazehead_jax.head3d.scene import CENTRE as CENTRE
from gazehead_jax.head3d.scene import DISTANCE as DISTANCE
from gazehead_jax.head3d.scene import HALF_VIEW as HALF_VIEW
from gazehead_jax.head3d.scene import Look as Look
from gazehead_jax.head3d.scene import Pose as Pose
from gazehead_jax.head3d.scene import View as View
from gazehead_jax.head3d.scene import make_renderer as make_renderer
from gazehead_jax.head3d.scene import project as project
