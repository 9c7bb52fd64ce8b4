//! EROFS: planner, writer and reader.
