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
//! | `folder`, `content` | which files belong to a skill, and where their bytes are |
//! | `draft`, `skill` | all of that together: as far as it can be read, and good enough to be used |
//! | `bundle` | hostile ZIPs refused, honest ones unpacked |
//! | `source`, `catalog` | directories of skills; built-in and uploaded ones together |

mod bundle;
mod catalog;
mod content;
mod diagnostic;
mod draft;
mod fields;
mod folder;
mod frontmatter;
mod name;
mod requirements;
mod rule;
mod script;
mod skill;
mod source;
mod yaml;

pub use crate::{
    bundle::{
        BundleError, BundleLimits, EntryName, HeaderField, NotRegular, PathProblem, UnpackedBundle,
        check_bundle, unpack_bundle,
    },
    catalog::{Catalog, CatalogEntry, CatalogError, Installed, Origin},
    content::ReadError,
    diagnostic::{Diagnostic, Edit, Fix, Location, Position, Severity, Span},
    draft::{Draft, LoadError},
    folder::{FolderError, FolderLimits},
    frontmatter::{Field, Frontmatter},
    name::{NameError, SkillName},
    requirements::{Requirements, RequirementsFile, ScriptRequirements},
    rule::{Group, Profile, Rule, UnknownProfile},
    script::{Language, Script, ScriptError},
    skill::{Digest, Skill, SkillFile},
    source::{FoundSkills, SkillDirectory, SourceLimits, SourceProblem, find_skills},
    yaml::{Document, Node, Value, YamlError, parse as parse_yaml},
};
