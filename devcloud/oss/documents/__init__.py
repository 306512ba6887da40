"""The configuration documents of buckets: what each contains, which values are valid, and what they mean.

These modules know neither a request nor the storage. So the operations that put and read documents, the access checks,
all writes of objects and the lifecycle timer can use them alike. Bucket policies and hotlink protection are documents,
too; they are in ``access``.
"""
