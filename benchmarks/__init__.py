"""How fast it is, as ratios measured side by side: ``make bench``. No part of the tests."""

import vsr_lightning as vsr_lightning  # first of all: PyTorch reads the wish for large pages once, on its first tensor
