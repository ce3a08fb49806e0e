"""The shard format: schema, writer, tables, streaming reader, statistics and verification.

It knows no data set and no model: scenes of posed frames go in, pairs of decoded frames come out.
"""
