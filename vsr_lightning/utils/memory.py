"""How this process keeps its memory."""

import ctypes
import sys

M_MMAP_THRESHOLD = -3  # <malloc.h>
LARGE = 8 * 2**20  # bytes


def return_large_blocks() -> None:
    """Have the C library give blocks of 8 MiB and more back as soon as they are freed, with glibc; else nothing.

    Otherwise it learns to keep ones of up to 32 MiB, such as frames of a film, in pieces that fit less and less: a
    fifth of what ``predict`` took for one of 2160 lines.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(M_MMAP_THRESHOLD, LARGE)
