//! The tree store: an OSTree repository with one commit per package and one per image.
