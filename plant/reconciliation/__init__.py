"""A logger's own means beside ours, and by which way of computing the difference arises.

`computing` takes a mean in every way that a logger may have taken it (`ways`); `naming` finds the simplest way that
gives the logger's digits. A cause is named only when the computation with that one thing changed reproduces what was
reported: it is shown, not guessed, and remains a person's to judge.
"""
