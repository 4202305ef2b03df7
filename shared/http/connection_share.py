"""Share of a limit that one address may take: the dynamic threshold of buffer sharing (Choudhury and Hahne, 1998).

An address is admitted only while it has less than what is free. One address gets at most half of the limit, N greedy
ones leave 1/(N+1) of it free, and an address that has nothing is admitted while anything is free.
"""


def exceeds_fair_share(own: int, *, free: int) -> bool:
    """Return whether an address with `own` places has its fair share while `free` places are left for all."""
    return own >= free
