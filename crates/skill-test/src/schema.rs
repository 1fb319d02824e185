//! The JSON Schema of test files, for editors and other programs.

/// The schema; published as `docs/schema/skill-test.schema.json`.
pub const SCHEMA: &str = include_str!("../../../docs/schema/skill-test.schema.json");

#[cfg(test)]
mod tests;
