//! Scripts and what they need.

super::rules! { Scripts:
    SCRIPT_METADATA = "SB223" "script-metadata" [W W W W]
        "The inline metadata of a script cannot be read.",
        "What it declares is then not installed.",
        "# /// script\n# dependencies = [\"qrcode\n# ///",
        "# /// script\n# dependencies = [\"qrcode\"]\n# ///";
}
