"""Images: references, content, snapshots, layer archives in and out, and images made without a registry.

`store.ImageStore` is the door. What `sandbox run` needs (store, snapshots, config) imports little; unpacking, packing
and bootstrapping load when asked for.
"""
