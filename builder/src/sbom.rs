//! The CycloneDX software bill of materials.
