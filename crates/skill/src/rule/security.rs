//! What may harm whoever uses the skill. Heuristics: what is not found may still be there.

super::rules! { Security:
    BUNDLED_SECRET = "SB300" "bundled-secret" [E W E W]
        "A file holds a secret.",
        "Whoever gets the skill gets the secret; it must be revoked, not only deleted.",
        "OPENAI_API_KEY=sk-…",
        "a key that the caller passes in the environment";
}
