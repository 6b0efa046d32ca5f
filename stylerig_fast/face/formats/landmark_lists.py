"""Published vertices of the 68 iBUG landmarks, per mesh. Vertices and landmarks are numbered from 0."""

from __future__ import annotations


def _listed(text: str) -> dict[int, int]:
    return dict(enumerate(map(int, text.split())))


# Basel Face Model 2009, 53,490 vertices: anilbas/BFMLandmarks, Landmarks68_BFM.anl (there from 1). The points that
# eos' ibug_to_bfm.txt has as well are the same vertices or their neighbours.
BASEL_2009 = _listed("""
22142 22812 22839 23249 44123 45883 47084 47667 48187 48707 49298 50497 52456 32021 32385 32358 32978
38885 39635 40029 40237 40432 41171 41367 41577 42010 42645 8290 8304 8313 8319 6782 7686 8330 8976 9878
1831 3759 5049 6086 4545 3515 10730 11757 12918 14858 13190 12156
5522 6154 7441 8344 9505 10798 11198 10178 9276 8373 7470 6565 5908 7321 8353 9385 10940 9140 8366 7193
""")

# FLAME, 5,023 vertices in every release: the nearest vertices, as NPHM (Giebenhain et al., 2023) registers heads with.
FLAME = _listed("""
2212 3060 3485 3384 3386 3389 3418 3395 3414 3598 3637 3587 3582 3580 3756 2012 730
1984 3157 335 3705 3684 3851 3863 16 2138 571 3553 3561 3501 3526 2748 2792 3556 1675 1612
2437 2383 2494 3632 2278 2296 3833 1343 1034 1175 884 829
2715 2813 2774 3543 1657 1696 1579 1795 1865 3503 2948 2898 2845 2785 3533 1668 1730 1669 3509 2786
""")

# Surrey Face Model, 3,448 vertices: eos' share/ibug_to_sfm.txt. The sides of the jaw and the inner mouth corners are
# not in it.
SURREY_3448 = {
    8: 33,
    **dict(zip(range(17, 27), (225, 229, 233, 2086, 157, 590, 2091, 666, 662, 658), strict=True)),
    **dict(zip(range(27, 36), (2842, 379, 272, 114, 100, 2794, 270, 2797, 537), strict=True)),
    **dict(zip(range(36, 42), (177, 172, 191, 181, 173, 174), strict=True)),
    **dict(zip(range(42, 48), (614, 624, 605, 610, 607, 606), strict=True)),
    **dict(zip(range(48, 60), (398, 315, 413, 329, 825, 736, 812, 841, 693, 411, 264, 431), strict=True)),
    **dict(zip((61, 62, 63, 65, 66, 67), (416, 423, 828, 817, 442, 404), strict=True)),
}

# Its vertices along the jaw in frontal views, right and left: eos' share/sfm_model_contours.json.
SURREY_JAW = (
    *(380, 373, 356, 358, 359, 360, 365, 363, 364, 388, 391, 392, 393, 11, 21, 25, 22),
    *(795, 790, 773, 775, 776, 777, 782, 780, 781, 802, 805, 806, 807, 454, 464, 466, 465),
)
