"""The verbs that publish snapshots, by what they do: read, release, push."""
