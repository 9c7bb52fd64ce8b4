//! From composed packages to a root file system that boots: the native steps that replace maintainer scripts.
