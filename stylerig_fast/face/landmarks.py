"""iBUG 68 landmarks: which index is what, and the subsets that losses and metrics use."""

from __future__ import annotations

JAW = tuple(range(0, 17))
RIGHT_BROW = tuple(range(17, 22))  # the subject's right: the picture's left
LEFT_BROW = tuple(range(22, 27))
NOSE = tuple(range(27, 36))
RIGHT_EYE = tuple(range(36, 42))
LEFT_EYE = tuple(range(42, 48))
OUTER_MOUTH = tuple(range(48, 60))
INNER_MOUTH = tuple(range(60, 68))

# Outer corners of the eyes: their distance normalises landmark errors.
OUTER_EYE_CORNERS = (36, 45)

# The paper's 66: the 68 less the two inner mouth corners.
PAPER_66 = tuple(i for i in range(68) if i not in (60, 64))
# Everything but the jaw line, which slides along the silhouette when the head turns.
INNER_49 = tuple(i for i in PAPER_66 if i not in JAW)

# Where each landmark goes when the picture is mirrored.
MIRROR = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *(27, 28, 29, 30, 35, 34, 33, 32, 31),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
    *(64, 63, 62, 61, 60, 67, 66, 65),
)
