"""From a source's name to the examples that a model is trained on.

`sources` opens a Hub id, a folder or files; `splits` finds columns and classes in it and sets parts aside;
`labelled` is one split; `augment` changes examples at random, by key; `examples` is what the data loader reads.
`in_memory` is the same from one tensor, a batch at a time: `batch_augment` moves and `batch_levels` recolours it.
"""
