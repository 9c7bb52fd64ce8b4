//! Debian packages: the ar container, the control member, the data member. Strict: what is odd is refused.
