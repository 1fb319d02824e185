//! The command line as it is written, and nothing more: what values mean is decided in [`crate::options`].

mod cache;
mod dev;
mod diff;
mod new;
mod pack;
mod schema;
mod test;
mod unpack;
mod validate;

use std::{path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use server::Listen;

pub(crate) use self::{
    cache::Cache,
    dev::Dev,
    diff::Diff,
    new::{Ci, New, Part, ScriptLanguage},
    pack::{BundleLayout, FollowLinks, Pack},
    schema::{Schema, SchemaName},
    test::Test,
    unpack::Unpack,
    validate::{ReportFormat, Rules, Validate},
};
use crate::{
    exit,
    options::{InputSpec, StoreSpec, parse_env, parse_input, parse_wall},
    units::{parse_duration, parse_size},
};

/// Runs the skills of AI agents in sandboxes.
#[derive(Debug, Parser)]
#[command(name = "skillbox", version, disable_help_subcommand = true, propagate_version = false)]
#[command(max_term_width = 110)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Options of every command.
#[derive(Clone, Debug, ClapArgs)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// What makes the sandboxes.
    #[arg(long, global = true, value_enum, default_value_t = DriverName::Native, env = "SKILLBOX_DRIVER", hide_env_values = true)]
    pub(crate) driver: DriverName,
    /// A directory with a root file system for sandboxes, or an image built here, instead of the host's /usr.
    #[arg(long, global = true, value_name = "DIR|IMAGE", env = "SKILLBOX_ROOTFS", hide_env_values = true)]
    pub(crate) rootfs: Option<PathBuf>,
    /// The image of sandboxes, for the docker driver.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        default_value = "skillbox/slim",
        env = "SKILLBOX_IMAGE",
        hide_env_values = true
    )]
    pub(crate) image: String,
    /// The runtime that Docker shall use, such as crun. Without it, Docker's own choice.
    #[arg(long, global = true, value_name = "NAME", env = "SKILLBOX_DOCKER_RUNTIME", hide_env_values = true)]
    pub(crate) docker_runtime: Option<String>,
    /// Never ask a package index; dependencies come from the cache only.
    #[arg(long, global = true, env = "SKILLBOX_OFFLINE", hide_env_values = true)]
    pub(crate) offline: bool,
    /// Print exactly one JSON document, also for errors.
    #[arg(long, global = true, env = "SKILLBOX_JSON", hide_env_values = true)]
    pub(crate) json: bool,
    /// Say nothing but results and errors.
    #[arg(
        short,
        long,
        global = true,
        env = "SKILLBOX_QUIET",
        hide_env_values = true,
        conflicts_with = "verbose"
    )]
    pub(crate) quiet: bool,
    /// Say more; twice for the runner's log.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, env = "SKILLBOX_VERBOSE", hide_env_values = true)]
    pub(crate) verbose: u8,
    /// When to use colours. NO_COLOR is obeyed, too.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN", env = "SKILLBOX_COLOR", hide_env_values = true)]
    pub(crate) color: Color,
    /// Show no progress.
    #[arg(long, global = true, env = "SKILLBOX_NO_PROGRESS", hide_env_values = true)]
    pub(crate) no_progress: bool,
}

/// The drivers of this build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DriverName {
    /// Namespaces and cgroups of this machine.
    Native,
    /// Containers of a Docker daemon: DOCKER_HOST, the current docker context, /var/run/docker.sock.
    Docker,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    pub(crate) fn into_choice(self) -> anstream::ColorChoice {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::AlwaysAnsi,
            Self::Never => anstream::ColorChoice::Never,
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a script of a skill in a fresh sandbox.
    #[command(after_help = exit::OF_PROGRAMS)]
    Run(Run),
    /// Run Python or Bash code in a fresh sandbox.
    #[command(after_help = exit::OF_PROGRAMS)]
    Code(Code),
    /// Serve the tools over HTTP.
    Serve(Box<Serve>),
    /// Make one tool call and print the tool result that a model would get.
    Call(Call),
    /// Print the definitions of the six tools for these skills.
    Tools(Tools),
    /// Print what belongs into the system prompt for these skills.
    #[command(alias = "to-prompt")]
    Prompt(Prompt),
    /// Check skills and bundles. Exit code 1 when there are errors, 2 when something cannot be read.
    #[command(visible_aliases = ["check", "lint"])]
    Validate(Box<Validate>),
    /// Explain the rules that `validate` checks.
    #[command(visible_alias = "explain")]
    Rules(Rules),
    /// Run the tests of skills. Exit code 1 when a case fails, 2 when a test file is wrong.
    Test(Test),
    /// Watch a skill: check it, run it and test it each time that a file is saved.
    Dev(Dev),
    /// Show what is in a skill.
    #[command(alias = "read-properties")]
    Inspect(Inspect),
    /// Start a new skill that can be run, tested and packed at once.
    #[command(alias = "init")]
    New(New),
    /// Make a .skill bundle of a skill's folder. The same files always give the same bytes.
    #[command(after_help = pack::CODES)]
    Pack(Pack),
    /// Unpack a .skill bundle, if it is one that is safe to unpack.
    #[command(after_help = unpack::CODES)]
    Unpack(Unpack),
    /// Compare two skills or bundles. Exit code 0 when they are the same, 1 when they differ, 2 for errors.
    Diff(Diff),
    /// Build root directories for sandboxes, and list them.
    #[command(subcommand)]
    Image(Image),
    /// Show and empty the cache of packages that skills require.
    #[command(subcommand)]
    Cache(Cache),
    /// Look whether this machine can make sandboxes. Exit code 1 when it cannot.
    Doctor(Doctor),
    /// Print the JSON Schema of a kind of file, for editors.
    Schema(Schema),
    /// Print the version.
    Version,
    /// Print completions for a shell.
    Completions(Completions),
}

/// Where commands that run something put what it saved.
#[derive(Debug, ClapArgs)]
pub(crate) struct OutputPlace {
    /// Where output files go; made when there are some. Files of the same name are overwritten.
    #[arg(
        id = "output",
        short = 'o',
        long = "output",
        value_name = "DIR",
        default_value = "output",
        env = "SKILLBOX_OUTPUT",
        hide_env_values = true
    )]
    pub(crate) directory: PathBuf,
}

/// What `run` and `code` have in common.
#[derive(Debug, ClapArgs)]
pub(crate) struct Program {
    #[command(flatten)]
    pub(crate) output: OutputPlace,
    /// Leave output files in the sandbox.
    #[arg(long, env = "SKILLBOX_NO_OUTPUT", hide_env_values = true)]
    pub(crate) no_output: bool,
    /// A file that the program finds in /workspace, or at DEST.
    #[arg(short, long = "input", value_name = "FILE[:DEST]", value_parser = parse_input)]
    pub(crate) inputs: Vec<InputSpec>,
    /// An environment variable for the program.
    #[arg(short, long = "env", value_name = "K=V", value_parser = parse_env)]
    pub(crate) env: Vec<(String, String)>,
    /// How long the program may run.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_duration, env = "SKILLBOX_TIMEOUT", hide_env_values = true)]
    pub(crate) timeout: Duration,
    /// How much memory the sandbox has.
    #[arg(long, value_name = "SIZE", default_value = "512M", value_parser = parse_size, env = "SKILLBOX_MEMORY", hide_env_values = true)]
    pub(crate) memory: u64,
    /// What the program reads from standard input; `-` is our own. Without it, nothing.
    #[arg(long, value_name = "FILE")]
    pub(crate) stdin: Option<PathBuf>,
    /// Send the program's output to a terminal as it is, control sequences included.
    #[arg(long, env = "SKILLBOX_RAW", hide_env_values = true)]
    pub(crate) raw: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Run {
    /// A skill's folder, its SKILL.md, or a .skill bundle.
    pub(crate) skill: PathBuf,
    /// The script: with or without `scripts/`, or a file name that only one has.
    pub(crate) script: String,
    /// Arguments of the script.
    #[arg(last = true)]
    pub(crate) args: Vec<String>,
    #[command(flatten)]
    pub(crate) program: Program,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Code {
    /// The language. Without it, as the file's extension says, else Python.
    #[arg(short, long, value_enum)]
    pub(crate) language: Option<CodeLanguage>,
    /// The code itself.
    #[arg(
        short,
        long = "code",
        value_name = "CODE",
        conflicts_with = "file",
        required_unless_present = "file"
    )]
    pub(crate) code: Option<String>,
    /// A file with the code; `-` is standard input.
    pub(crate) file: Option<PathBuf>,
    /// A skill that the code finds below /skills.
    #[arg(short, long = "skill", value_name = "SKILL")]
    pub(crate) skills: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) program: Program,
}

/// The languages of `octavus_code_run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CodeLanguage {
    Python,
    Bash,
}

impl CodeLanguage {
    /// As the tool calls it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Bash => "bash",
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Serve {
    /// Where to listen: an address with port, or unix:PATH. Can be given several times.
    #[arg(
        long,
        value_name = "ADDR|unix:PATH",
        default_value = "127.0.0.1:7878",
        env = "SKILLBOX_LISTEN",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub(crate) listen: Vec<Listen>,
    /// A directory of skills, or a skill. Earlier ones win.
    #[arg(long, value_name = "DIR", env = "SKILLBOX_SKILLS", hide_env_values = true, value_delimiter = ',')]
    pub(crate) skills: Vec<PathBuf>,
    /// Where output files are kept: in a directory, or in a bucket.
    #[arg(long, value_name = "file:DIR|s3://BUCKET/PREFIX", env = "SKILLBOX_STORE", hide_env_values = true)]
    pub(crate) store: StoreSpec,
    #[command(flatten)]
    pub(crate) s3: S3,
    /// The file with the token that callers must send. Without it, a loopback address gets a token
    /// of its own; unix sockets need none, other addresses refuse.
    #[arg(long, value_name = "FILE", env = "SKILLBOX_TOKEN_FILE", hide_env_values = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// Where uploaded skills are kept. Without it, skills cannot be uploaded.
    #[arg(long, value_name = "DIR", env = "SKILLBOX_UPLOADED_SKILLS", hide_env_values = true)]
    pub(crate) uploaded_skills: Option<PathBuf>,
    /// Serve although this wall cannot be built here: cgroup, uids or landlock.
    #[arg(long, value_name = "WALL", value_parser = parse_wall, env = "SKILLBOX_ALLOW_MISSING", hide_env_values = true, value_delimiter = ',')]
    pub(crate) allow_missing: Vec<driver_native::Wall>,
    /// How many sandboxes may live at once.
    #[arg(long, value_name = "N", default_value_t = 64, env = "SKILLBOX_MAX_SANDBOXES", hide_env_values = true, value_parser = clap::value_parser!(u32).range(1..=4000))]
    pub(crate) max_sandboxes: u32,
    /// How long running calls may go on after SIGTERM.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration, env = "SKILLBOX_DRAIN", hide_env_values = true)]
    pub(crate) drain: Duration,
    /// How long a call goes on when its client was cut off, and may come back to it.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration, env = "SKILLBOX_ABANDONED", hide_env_values = true)]
    pub(crate) abandoned: Duration,
    /// Memory for results, events, inputs and waiting calls of all triggers. Without it, a sixteenth
    /// of the machine's, from 256 MiB to 2 GiB.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, env = "SKILLBOX_KEPT_SIZE", hide_env_values = true)]
    pub(crate) kept_size: Option<u64>,
    /// How long a store in a directory keeps output files. Without it, for ever.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, env = "SKILLBOX_KEEP_FILES", hide_env_values = true)]
    pub(crate) keep_files: Option<Duration>,
    /// How much a store in a directory holds, before the oldest output files go.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, env = "SKILLBOX_STORE_SIZE", hide_env_values = true)]
    pub(crate) store_size: Option<u64>,
    /// A name by which callers reach us, beside the addresses. Protects against DNS rebinding.
    #[arg(
        long,
        value_name = "NAME",
        env = "SKILLBOX_ALLOW_HOST",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub(crate) allow_host: Vec<String>,
    /// A web origin whose pages may call us.
    #[arg(
        long,
        value_name = "ORIGIN",
        env = "SKILLBOX_ALLOW_ORIGIN",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub(crate) allow_origin: Vec<String>,
    /// A host from which inputs of triggers may be fetched by URL: `files.example.com`, or with a port.
    #[arg(
        long,
        value_name = "HOST",
        env = "SKILLBOX_INPUT_HOST",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub(crate) input_host: Vec<server::InputHost>,
    /// What stands before `/v1/files/…` in links to output files. Without it, the first address.
    #[arg(long, value_name = "URL", env = "SKILLBOX_PUBLIC_URL", hide_env_values = true)]
    pub(crate) public_url: Option<String>,
    /// How long links to output files work.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_duration, env = "SKILLBOX_LINK_LIFETIME", hide_env_values = true)]
    pub(crate) link_lifetime: Duration,
}

/// What is to be said of a bucket. Credentials come from where all tools of AWS take them.
#[derive(Debug, ClapArgs)]
pub(crate) struct S3 {
    /// The store's address, if it is not AWS. AWS_ENDPOINT_URL_S3 works, too.
    #[arg(
        long,
        help_heading = "Options for s3:// stores",
        value_name = "URL",
        env = "SKILLBOX_S3_ENDPOINT",
        hide_env_values = true
    )]
    pub(crate) s3_endpoint: Option<String>,
    /// The store's address in links, if those who follow them reach it elsewhere.
    #[arg(
        long,
        help_heading = "Options for s3:// stores",
        value_name = "URL",
        env = "SKILLBOX_S3_PUBLIC_ENDPOINT",
        hide_env_values = true
    )]
    pub(crate) s3_public_endpoint: Option<String>,
    /// The region. Without it, what AWS_REGION or the profile says.
    #[arg(
        long,
        help_heading = "Options for s3:// stores",
        value_name = "NAME",
        env = "SKILLBOX_S3_REGION",
        hide_env_values = true
    )]
    pub(crate) s3_region: Option<String>,
    /// Whether the bucket stands in the path of a URL. Without it, only where there is an endpoint.
    #[arg(long, help_heading = "Options for s3:// stores", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", env = "SKILLBOX_S3_PATH_STYLE", hide_env_values = true)]
    pub(crate) s3_path_style: Option<bool>,
    /// Where files wait that the bucket does not take at the moment; they are sent again, also after a restart.
    /// Without it, below the state directory.
    #[arg(
        long,
        help_heading = "Options for s3:// stores",
        value_name = "DIR",
        env = "SKILLBOX_SPOOL",
        hide_env_values = true
    )]
    pub(crate) spool: Option<PathBuf>,
    /// The most bytes that wait there.
    #[arg(long, help_heading = "Options for s3:// stores", value_name = "SIZE", default_value = "2G", value_parser = parse_size, env = "SKILLBOX_SPOOL_SIZE", hide_env_values = true)]
    pub(crate) spool_size: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Call {
    /// The tool, with or without its prefix: octavus_code_run or code_run.
    pub(crate) tool: String,
    /// The arguments as JSON, or @FILE with them.
    #[arg(long, value_name = "JSON|@FILE", default_value = "{}")]
    pub(crate) args: String,
    /// A skill to enable.
    #[arg(short, long = "skill", value_name = "SKILL")]
    pub(crate) skills: Vec<PathBuf>,
    /// A file that the program finds in /workspace, or at DEST.
    #[arg(short, long = "input", value_name = "FILE[:DEST]", value_parser = parse_input)]
    pub(crate) inputs: Vec<InputSpec>,
    #[command(flatten)]
    pub(crate) output: OutputPlace,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Tools {
    /// Who the definitions are for.
    #[arg(long, value_enum, default_value_t = Style::Octavus)]
    pub(crate) style: Style,
    /// A skill, or a directory of skills, to enable. With none, no tool is offered.
    #[arg(short, long = "skill", value_name = "SKILL")]
    pub(crate) skills: Vec<PathBuf>,
}

/// Forms of tool definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Style {
    Octavus,
    Openai,
    Anthropic,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Prompt {
    /// Skills, or directories of skills.
    #[arg(required = true, value_name = "SKILL")]
    pub(crate) skills: Vec<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Inspect {
    /// A skill's folder, its SKILL.md, or a .skill bundle.
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// List all files with their size and SHA-256.
    #[arg(long)]
    pub(crate) files: bool,
}

/// What is done with images.
#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// Build an image from packages of Debian, PyPI and npm. Needs mmdebstrap.
    Build(ImageBuild),
    /// List the images that were built here, and those that Docker has.
    #[command(alias = "list")]
    Ls,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ImageBuild {
    /// The image.
    // Not `image`: that is the option for all commands.
    #[arg(id = "recipe", value_name = "IMAGE", value_enum, default_value_t = ImageName::Slim)]
    pub(crate) image: ImageName,
    /// What is made of it.
    #[arg(long, value_enum, default_value_t = ImageFormat::Directory)]
    pub(crate) format: ImageFormat,
    /// Where it goes. Without it, where `--rootfs` finds it by its name.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// What Docker shall call it. Without it, skillbox/IMAGE.
    #[arg(long, value_name = "NAME")]
    pub(crate) tag: Option<String>,
}

/// The images that there is a recipe for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImageName {
    /// Python with the usual packages for data, charts, PDF and office files.
    Slim,
    /// Node.js with the usual packages for office files.
    Node,
    /// Both, with LibreOffice, pandoc, tesseract and ghostscript.
    Office,
}

impl ImageName {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Slim => "slim",
            Self::Node => "node",
            Self::Office => "office",
        }
    }
}

/// Forms of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImageFormat {
    /// A root directory, for --rootfs.
    Directory,
    /// One tar file of it.
    Tar,
    /// An image of Docker.
    Docker,
}

impl ImageFormat {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Tar => "tar",
            Self::Docker => "docker",
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Doctor {
    /// Ask a running server whether it is ready, instead: an address with port, or unix:PATH.
    #[arg(long, value_name = "ADDR|unix:PATH", num_args = 0..=1, default_missing_value = "127.0.0.1:7878", env = "SKILLBOX_READY", hide_env_values = true)]
    pub(crate) ready: Option<Listen>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn arguments_of_scripts_come_after_two_hyphens() {
        let parsed =
            Args::try_parse_from(["skillbox", "run", "s", "a.py", "-o", "out", "--", "--json", "-o", "x"])
                .unwrap();
        let Some(Command::Run(run)) = parsed.command else { panic!("not run") };
        assert_eq!(run.args, ["--json", "-o", "x"]);
        assert_eq!(run.program.output.directory, PathBuf::from("out"));
        assert!(!parsed.global.json);
        assert!(Args::try_parse_from(["skillbox", "run", "s", "a.py", "--data", "x"]).is_err());
    }

    #[test]
    fn code_needs_code_once() {
        assert!(Args::try_parse_from(["skillbox", "code", "-l", "bash"]).is_err());
        assert!(Args::try_parse_from(["skillbox", "code", "-c", "1", "a.py"]).is_err());
        assert!(Args::try_parse_from(["skillbox", "code", "-"]).is_ok());
    }
}
