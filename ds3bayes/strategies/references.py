"""Published sources, to be cited."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A published source.

    Parameters
    ----------
    key : str
        Of its BibTeX entry.
    authors, title : str
        Authors as BibTeX writes them.
    year : int
    address : str
        An arXiv abstract or a DOI, as a URL.
    part : str
        What of the fit rests on it.
    """

    key: str
    authors: str
    title: str
    year: int
    address: str
    part: str

    @property
    def names(self) -> str:
        """Family names of the authors, at most three."""
        family = [one.partition(",")[0] for one in self.authors.split(" and ")]
        return ", ".join(family) if len(family) <= 3 else f"{family[0]} et al."

    @property
    def bibtex(self) -> str:
        """The entry for a bibliography."""
        arxiv = self.address.partition("arxiv.org/abs/")[2]
        where = f"eprint = {{{arxiv}}},\n  archivePrefix = {{arXiv}}" if arxiv else f"url = {{{self.address}}}"
        return (
            f"@misc{{{self.key},\n  author = {{{self.authors}}},\n  title = {{{{{self.title}}}}},\n"
            f"  year = {{{self.year}}},\n  {where}\n}}"
        )


def arxiv(key: str, authors: str, title: str, year: int, number: str, part: str) -> Reference:
    """Return a source on arXiv, by its number there."""
    return Reference(
        key=key, authors=authors, title=title, year=year, address=f"https://arxiv.org/abs/{number}", part=part
    )
