//! Bundles as ZIP files: what refuses a bundle as a whole, before anything of it is written.
//!
//! The numbers leave gaps for checks of tar files, which are not read here.

super::rules! { Archive:
    ARCHIVE_STRUCTURE = "AR001" "archive-structure" [E E E E]
        "The file is not a ZIP, is damaged, or can be read in two ways.",
        "Where two readers may see different contents, a scanner sees one skill and the runtime another.",
        "bytes before the first entry, two end records, a local header that disagrees with the directory",
        "a ZIP written by a common tool";
    ARCHIVE_SIXTY_FOUR_BIT = "AR002" "archive-sixty-four-bit" [E E E E]
        "The ZIP is split over disks or its 64-bit fields contradict the others.",
        "Readers disagree on which field counts.",
        "a ZIP64 record with another number of entries",
        "a ZIP below 4 GiB without ZIP64";
    ARCHIVE_ENCRYPTED = "AR003" "archive-encrypted" [E E E E]
        "An entry is encrypted.",
        "Nobody can check what cannot be read.",
        "zip --encrypt my-skill.skill",
        "skillbox pack my-skill";
    ARCHIVE_METHOD = "AR004" "archive-method" [E E E E]
        "An entry is compressed by an uncommon method.",
        "Only stored and deflate are read everywhere.",
        "LZMA, bzip2, zstd",
        "stored or deflate";
    ARCHIVE_PATH = "AR005" "archive-path" [E E E E]
        "A path could lead out of the skill, or means different files on different systems.",
        "This is how unpacking overwrites files of the host.",
        "../../etc/cron.d/x, C:\\x, /etc/passwd",
        "my-skill/scripts/x.py";
    ARCHIVE_PATH_LENGTH = "AR006" "archive-path-length" [E E E E]
        "A path is too long or too deep.",
        "It cannot be written everywhere.",
        "a component of 300 bytes",
        "my-skill/references/long-story.md";
    ARCHIVE_NAME_ENCODING = "AR007" "archive-name-encoding" [E E E E]
        "A name is not UTF-8, or its two forms disagree.",
        "Readers see different names for the same entry.",
        "a name in code page 437",
        "a name in UTF-8, as `skillbox pack` writes it";
    ARCHIVE_DUPLICATE = "AR008" "archive-duplicate" [E E E E]
        "A path occurs twice.",
        "One reader takes the first, another the last.",
        "two entries `SKILL.md`",
        "one entry `SKILL.md`";
    ARCHIVE_COLLISION = "AR009" "archive-collision" [E E E E]
        "Two paths are the same file on systems that fold case or normalise Unicode.",
        "One silently overwrites the other.",
        "a.md and A.md",
        "a.md and b.md";
    ARCHIVE_FILE_AS_DIRECTORY = "AR010" "archive-file-as-directory" [E E E E]
        "A path is a file and also the directory of another.",
        "It cannot be unpacked.",
        "a and a/b",
        "a/b";
    ARCHIVE_NOT_REGULAR = "AR011" "archive-not-regular" [E E E E]
        "An entry is a link, a device or another special file.",
        "A link can lead out of the skill, and files written through it overwrite the host's.",
        "a symbolic link to /etc/passwd",
        "a copy of the file";
    ARCHIVE_LIMITS = "AR014" "archive-limits" [E E E E]
        "The bundle is too large, has too many entries, or grows too much when unpacked.",
        "A few kilobytes can become terabytes. What really comes out is counted, not what the bundle says.",
        "42.zip",
        "at most 64 MiB, 2,000 entries, 32 MiB a file, 256 MiB in all";
    ARCHIVE_CHECKSUM = "AR015" "archive-checksum" [E E E E]
        "The data of an entry is not what its header says.",
        "The bundle is damaged, or was changed behind the packer's back.",
        "a wrong CRC-32 or size",
        "a bundle that was not changed after packing";
    ARCHIVE_NESTED = "AR016" "archive-nested" [I I I I]
        "There is an archive inside the skill.",
        "It is a file like any other and never opened; what is in it was not checked.",
        "assets/template.zip",
        "assets/template/ with the files themselves";
    ARCHIVE_TIME = "AR019" "archive-time" [E E E E]
        "Checking the bundle took too long.",
        "A bundle that keeps its reader busy is an attack.",
        "millions of tiny deflate blocks",
        "a ZIP written by a common tool";
    ARCHIVE_EXTRAS = "AR021" "archive-extras" [E E E E]
        "A comment, the extra fields or the directory are too long.",
        "They hide data that no reader shows.",
        "a comment of 60 kB",
        "no comment";
}
