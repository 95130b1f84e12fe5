"""Does a network trained on a perceptual loss make better-looking frames than one trained on pixels?"""

__version__ = "0.1.0"
