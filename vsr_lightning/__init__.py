"""Does a network trained on a perceptual loss make better-looking frames than one trained on pixels?"""

import os

# large pages for large tensors, read by PyTorch at its first allocation: a linear layer's 134 MB of gradients are new
# memory in each step, and getting it in small pages costs more than computing it (docs/performance.md)
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

__version__ = "0.1.0"
