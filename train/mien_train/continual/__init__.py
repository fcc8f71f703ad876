"""New expressions, learned one after another or from a few examples, without forgetting the basic ones.

After Maiden & Nakisa 2023 (arXiv:2308.06197): a growing head, a basic model as the frozen teacher, and a small memory.
"""
