"""Signs of quantities in figures and in the report."""


def over_sigma(symbol: str) -> str:
    """A sign over σ, in brackets where it would be misread.

    >>> over_sigma("θ"), over_sigma("q/p")
    ('θ/σ', '(q/p)/σ')

    """
    return f"({symbol})/σ" if "/" in symbol or " " in symbol else f"{symbol}/σ"
