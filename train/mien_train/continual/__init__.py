"""New expressions on top of the basic ones: learned one after another, or from a few examples, without forgetting.

After Maiden & Nakisa 2023 (arXiv:2308.06197): a head that grows, a basic model as the frozen teacher, a small memory.
"""
