//! Packages from a mirror into the content-addressed cache.
