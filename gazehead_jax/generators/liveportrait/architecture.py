"""Sizes of LivePortrait's networks; the published ones are the defaults."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Widths and depths of all networks.

    Attributes:
      size: edge of the pictures that the networks see; the drawn ones are twice as large.
      width: channels of the first convolution, and of the last block of the generator.
      channels: of the appearance features, folded into `depth` planes.
      resblocks: 3-D residual blocks of the appearance extractor.
      keypoints: implicit keypoints.
      stages, blocks: channels and blocks of the motion extractor's four stages.
      bins: of each head angle, three degrees wide.
      flow_width, flow_most, flow_levels: channels of the hourglass that finds the flow,
        their upper limit, and how often it halves.
      compress: channels of the features that it sees.
      hidden: channels within a SPADE.
      stitching, lip, eye: hidden layers of the three small networks.
    """

    size: int = 256
    width: int = 64
    channels: int = 512
    depth: int = 16
    resblocks: int = 6
    keypoints: int = 21
    stages: tuple[int, ...] = (96, 192, 384, 768)
    blocks: tuple[int, ...] = (3, 3, 9, 3)
    bins: int = 66
    flow_width: int = 32
    flow_most: int = 1024
    flow_levels: int = 5
    compress: int = 4
    hidden: int = 128
    stitching: tuple[int, ...] = (128, 128, 64)
    lip: tuple[int, ...] = (128, 128, 64)
    eye: tuple[int, ...] = (256, 256, 128, 128, 64)

    @property
    def planes(self) -> int:
        """Channels of the feature volume."""
        return self.channels // self.depth

    @property
    def warped(self) -> int:
        """Channels of the warped features, which the generator gets."""
        return 4 * self.width

    @property
    def flow_inputs(self) -> int:
        """Channels that the hourglass gets: for each motion, and for none, a heatmap
        and the deformed features."""
        return (self.keypoints + 1) * (self.compress + 1)

    @property
    def flow_outputs(self) -> int:
        return self.flow_width + self.flow_inputs

    def flow_channels(self, level: int) -> int:
        """Channels of the hourglass after `level` halvings."""
        return min(self.flow_most, self.flow_width * 2**level)


PUBLISHED = Architecture()
