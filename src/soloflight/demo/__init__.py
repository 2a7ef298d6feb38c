"""`soloflight demo`: what a cache stampede is, and what `@cached_singleflight` leaves of it.

A real HTTP origin, one hot key that keeps expiring, the same load under ten schemes, while the
origin is well and while it fails; on request, one more scene, in which several processes read the
key, or one bad day instead; tables, a picture and, on request, JSON. Importing this package needs
nothing beyond soloflight itself; running the demo, the extra: `pip install "soloflight[demo]"`.
"""
