"""A lit 3-D head with eyeballs and lids, drawn by a rasteriser in JAX."""

from gazehead_jax.head3d.groom import groomed_head as groomed_head
from gazehead_jax.head3d.look import CENTRE as CENTRE
from gazehead_jax.head3d.look import DISTANCE as DISTANCE
from gazehead_jax.head3d.look import HALF_VIEW as HALF_VIEW
from gazehead_jax.head3d.look import Look as Look
from gazehead_jax.head3d.look import Pose as Pose
from gazehead_jax.head3d.look import View as View
from gazehead_jax.head3d.look import project as project
from gazehead_jax.head3d.mesh import ANATOMICAL_IRIS as ANATOMICAL_IRIS
from gazehead_jax.head3d.mesh import PEOPLE as PEOPLE
from gazehead_jax.head3d.mesh import HeadMesh as HeadMesh
from gazehead_jax.head3d.mesh import load_head as load_head
from gazehead_jax.head3d.mesh import load_person as load_person
from gazehead_jax.head3d.scene import make_renderer as make_renderer
