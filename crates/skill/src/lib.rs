//! What a skill is: a folder with a `SKILL.md`, or a bundle of one.
//!
//! This crate reads skills and says everything about them that can be said without running them: frontmatter with spans,
//! scripts, requirements, diagnostics, a digest, a tar for a sandbox. It finds skills in directories, unpacks bundles of
//! strangers and keeps a catalog of built-in and uploaded skills.
//!
//! It starts no process, does nothing asynchronous and knows no other crate of this project. Its callers decide where to
//! run it, which for anything that touches a disk means off the asynchronous threads.
//!
//! | module | is |
//! |---|---|
//! | `name` | the slug |
//! | `rule`, `diagnostic` | what is checked under which profile; findings with places and fixes |
//! | `yaml`, `frontmatter`, `fields` | `SKILL.md` taken apart, and the fields that loading depends on |
//! | `script`, `requirements` | what can be run, and what that needs |
//! | `modules` | which package of the index has a Python module |
//! | `folder`, `content` | which files belong to a skill, and where their bytes are |
//! | `draft`, `skill` | all of that together: as far as it can be read, and good enough to be used |
//! | `ignored` | what never belongs to a skill |
//! | `bundle` | hostile ZIPs refused, honest ones unpacked |
//! | `pack` | a folder made into a bundle, always the same |
//! | `compare` | in what two skills differ |
//! | `tokens` | how long a text is for a model, about |
//! | `source`, `catalog` | directories of skills; built-in and uploaded ones together |

mod bundle;
mod catalog;
mod compare;
mod content;
mod diagnostic;
mod draft;
mod fields;
mod folder;
mod frontmatter;
mod ignored;
mod modules;
mod name;
mod pack;
mod requirements;
mod rule;
mod script;
mod skill;
mod source;
mod tokens;
mod yaml;

pub use crate::{
    bundle::{
        BundleError, BundleLimits, EntryName, HeaderField, NotRegular, PathProblem, UnpackedBundle,
        check_bundle, unpack_bundle,
    },
    catalog::{Catalog, CatalogEntry, CatalogError, Installed, Origin},
    compare::{Change, Comparison, FieldChange, FileChange, FileState, compare},
    content::ReadError,
    diagnostic::{Diagnostic, Edit, Fix, Location, Position, Severity, Span},
    draft::{Draft, LoadError},
    folder::{FolderError, FolderLimits},
    frontmatter::{Field, Frontmatter},
    ignored::{Foreign, is_sample},
    modules::{is_own_module, package_of_module, packages_with_module},
    name::{NameError, SkillName},
    pack::{
        GitIgnore, Layout, LeftOut, Links, PackError, PackOptions, Packed, PackedFile, Reason, TestFiles,
        Unpackable, UnpackableEntry, pack,
    },
    requirements::{Requirements, RequirementsFile, ScriptRequirements},
    rule::{Group, Profile, Rule, UnknownProfile},
    script::{Language, Script, ScriptError},
    skill::{Digest, Skill, SkillFile},
    source::{FoundSkills, SkillDirectory, SourceLimits, SourceProblem, find_skills},
    tokens::estimate_tokens,
    yaml::{Document, Node, Value, YamlError, parse as parse_yaml},
};
