"""The local cloud: Object Storage Service, Function Compute and the AI providers on one laptop.

It never imports ``functions`` or ``shared``. It reads ``s.yaml`` and loads handlers by name, as the
real platform does, so that the deployed code is the code that runs here.
"""
