"""What a paper that uses the results has to cite, and the numbers of the citations in one text."""

from __future__ import annotations

WORKS = {
    "measures": "Eckstein F, Ateshian G, Burgkart R, et al. Proposal for a nomenclature for magnetic resonance imaging "
                "based measures of articular cartilage in osteoarthritis. Osteoarthritis Cartilage 2006;14:974-983.",
    "qdess": "Sveinsson B, Chaudhari AS, Gold GE, Hargreaves BA. A simple analytic method for estimating T2 in the "
             "knee from DESS. Magn Reson Imaging 2017;38:63-70.",
    "nnunet": "Isensee F, Jaeger PF, Kohl SAA, Petersen J, Maier-Hein KH. nnU-Net: a self-configuring method for deep "
              "learning-based biomedical image segmentation. Nat Methods 2021;18:203-211.",
    "staple": "Warfield SK, Zou KH, Wells WM. Simultaneous truth and performance level estimation (STAPLE). IEEE Trans "
              "Med Imaging 2004;23:903-921.",
    "bscore": "Bowes MA, Kacena K, Alabas OA, et al. Machine-learning, MRI bone shape and important clinical outcomes "
              "in osteoarthritis: data from the Osteoarthritis Initiative. Ann Rheum Dis 2021;80:502-508.",
    "extrusion": "Svensson F, Felson DT, Turkiewicz A, et al. Scrutinizing the cut-off for \"pathological\" meniscal "
                 "body extrusion on knee MRI. Eur Radiol 2019;29:2616-2623.",
    "interpolation": "Herman GT, Zheng J, Bucholtz CA. Shape-based interpolation. IEEE Comput Graph Appl "
                     "1992;12:69-79.",
    "subregions": "Wirth W, Eckstein F. A technique for regional analysis of femorotibial cartilage thickness based on "
                  "quantitative magnetic resonance imaging. IEEE Trans Med Imaging 2008;27:737-744.",
    "footprints": "Gatti AA. pyMSKT (PyPI mskt 0.1.22, MIT licence), whose two example label maps the footprints were "
                  "made from.",
    "distances": "Taha AA, Hanbury A. Metrics for evaluating 3D medical image segmentation: analysis, selection, and "
                 "tool. BMC Med Imaging 2015;15:29.",
}


class References:
    """Hands out numbers in the order of first use.

    >>> cited = References()
    >>> cited("nnunet"), cited("qdess"), cited("nnunet")
    ('[1]', '[2]', '[1]')
    """

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, *works: str) -> str:
        """``[n]`` for some of `WORKS`, or for works given as their own text."""
        numbers = []
        for work in works:
            text = WORKS.get(work, work)
            if text not in self.texts:
                self.texts.append(text)
            numbers.append(self.texts.index(text) + 1)
        return "[" + ", ".join(str(n) for n in numbers) + "]"
