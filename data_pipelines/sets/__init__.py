"""Paired data sets as TFDS sets on disk: found, checked, split, stored, verified, opened.

    source folder or archive -> `layouts` -> `scan` -> `splitting` -> `builder` (array_record) -> `stored`

Files are stored as they are, byte for byte, so neither building nor reading needs TensorFlow or loses
anything; decoding happens in the loader.
"""
