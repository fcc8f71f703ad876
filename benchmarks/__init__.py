"""What mien is measured by. Each script is a module: ``python -m benchmarks.speed.latency --help`` from the repository.

- ``accuracy``: what is right on held-out faces, by set, precision, kind of face and damage to the picture
- ``enrollment``: expressions that are learned on the device
- ``temporal``: the encoder that reads a face over time
- ``speed``: latency, throughput, size, and what others take
- ``reliability``: what must hold whatever comes in: broken files, kills, long runs, turned faces, no regression

``results`` holds the dated reports, each with the command that made it. ``common`` holds what the scripts share.
"""
