"""Search with sources: documents of a folder, their passages, an index of words, and citations."""
