//! Output files by their links: the bytes, the headers that make them harmless, and links that open nothing.

use std::time::Duration;

use serde_json::Value;

use crate::support::{
    client::{Request, Response},
    require::require,
    serve::{Options, Serve, python},
    wait::until,
};

const MADE: &str = r"
import zlib, struct
def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
png = b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', 1, 1, 8, 0, 0, 0, 0)) + chunk(b'IDAT', zlib.compress(b'\0\0')) + chunk(b'IEND', b'')
files = {
    'a.png': png,
    'fake.png': b'<script>alert(1)</script>',
    'page.html': b'<!doctype html><script>alert(1)</script>',
    'drawing.svg': b'<svg xmlns=\x22http://www.w3.org/2000/svg\x22 onload=\x22alert(1)\x22/>',
    'big.bin': bytes(range(256)) * 4096,
    'a\x22;\n\xfc.csv': b'a,b\n',
    'empty.txt': b'',
}
for name, content in files.items():
    open('/output/' + name, 'wb').write(content)
";

/// A request for a link, as a browser makes it: without a token.
fn fetch(server: &Serve, url: &str) -> Request {
    let path = url.strip_prefix(&server.url()).unwrap_or_else(|| panic!("{url} is not the server's"));
    Request::new(server.address(), "GET", path)
}

fn make(server: &Serve, trigger: &str) -> Vec<Value> {
    let answer = server.call(trigger, &[], &[python(MADE)]);
    let files = answer["toolResults"][0]["files"].as_array().unwrap_or_else(|| panic!("{answer}")).clone();
    assert_eq!(files.len(), 7, "{answer}");
    files
}

fn named<'a>(files: &'a [Value], name: &str) -> &'a Value {
    files.iter().find(|file| file["filename"].as_str().unwrap().starts_with(name)).unwrap()
}

#[test]
fn files_are_served_whole_and_harmless() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    let files = make(&server, "f");
    let get = |name: &str| -> Response {
        let file = named(&files, name);
        let response = fetch(&server, file["url"].as_str().unwrap()).send();
        assert_eq!(response.status, 200, "{name}: {}", String::from_utf8_lossy(&response.body));
        assert_eq!(response.body.len() as u64, file["size"].as_u64().unwrap(), "{name}");
        assert!(response.header("content-disposition").unwrap().starts_with("attachment;"), "{name}");
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{name}");
        assert!(response.header("content-security-policy").unwrap().contains("sandbox"), "{name}");
        response
    };
    let big = get("big.bin");
    assert!(big.body.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 256));
    assert_eq!(get("a.png").header("content-type"), Some("image/png"));
    assert_eq!(named(&files, "a.png")["mediaType"], "image/png");
    // What only says that it is a picture would make a provider refuse the whole conversation.
    assert_ne!(named(&files, "fake.png")["mediaType"], "image/png");
    for active in ["fake.png", "page.html", "drawing.svg"] {
        let served = get(active);
        let content_type = served.header("content-type").unwrap();
        assert!(
            content_type.starts_with("application/octet-stream") || content_type.starts_with("text/plain"),
            "{active}: {content_type}"
        );
    }
    let odd = get("a\"");
    assert!(odd.headers.iter().all(|(_, value)| !value.contains('\n')), "{:?}", odd.headers);
    assert_eq!(odd.text(), "a,b\n");
    get("empty.txt");
    // Parts, and not again what the reader has.
    let url = named(&files, "big.bin")["url"].as_str().unwrap();
    let part = fetch(&server, url).header("Range", "bytes=256-258").send();
    assert_eq!((part.status, part.body.as_slice()), (206, [0, 1, 2].as_slice()));
    let tag = big.header("etag").unwrap();
    assert_eq!(fetch(&server, url).header("If-None-Match", tag).send().status, 304);
    // Links in an old chat are over; the id is not.
    let id = named(&files, "a.png")["id"].as_str().unwrap();
    let moved = server.request("GET", &format!("/v1/files/{id}")).send();
    assert_eq!(moved.status, 302);
    assert_eq!(fetch(&server, moved.header("location").unwrap()).send().status, 200);
    // Files outlive the trigger that made them.
    server.end("f");
    get("a.png");
}

#[test]
fn forged_links_open_nothing() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    let files = make(&server, "f");
    let url = named(&files, "a.png")["url"].as_str().unwrap().to_owned();
    let other = named(&files, "big.bin")["id"].as_str().unwrap();
    let expiry = url.split("exp=").nth(1).unwrap().split('&').next().unwrap();
    let longer = expiry.parse::<u64>().unwrap() + 1;
    let last = url.chars().last().unwrap();
    let changed = format!("{}{}", &url[..url.len() - 1], if last == 'A' { 'B' } else { 'A' });
    let forged = [
        url.replace(named(&files, "a.png")["id"].as_str().unwrap(), other),
        url.replace(expiry, &longer.to_string()),
        url.split('?').next().unwrap().to_owned(),
        url.split("&sig=").next().unwrap().to_owned(),
        format!("{}&sig=", url.split("&sig=").next().unwrap()),
        format!("{url}&exp={longer}"),
        changed,
    ];
    for link in forged {
        let refused = fetch(&server, &link).send();
        assert_eq!(refused.expect(403)["code"], "LINK_INVALID", "{link}");
    }
    assert_eq!(fetch(&server, &url).send().status, 200);
    // The id alone is no permission.
    let path = format!("/v1/files/{other}");
    assert_eq!(Request::new(server.address(), "GET", &path).send().status, 401);
    assert_eq!(server.request("GET", "/v1/files/../../../etc/passwd").send().status, 404);
}

#[test]
fn links_expire() {
    if !require("native") {
        return;
    }
    let server = Serve::with(&Options {
        args: vec!["--link-lifetime".to_owned(), "1s".to_owned()],
        ..Options::default()
    });
    let files = make(&server, "f");
    let file = named(&files, "a.png");
    let expired = until("the link expires", Duration::from_secs(20), || {
        let response = fetch(&server, file["url"].as_str().unwrap()).send();
        (response.status != 200).then_some(response)
    });
    assert_eq!(expired.expect(410)["code"], "LINK_EXPIRED");
}

#[test]
fn what_is_too_much_is_left_out_with_a_reason() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    let code = r"
import os
open('/output/huge.bin', 'wb').write(bytes(11 << 20))
open('/output/fine.txt', 'w').write('fine')
os.symlink('/etc/passwd', '/output/link.txt')
os.mkfifo('/output/pipe')
";
    let answer = server.call("l", &[], &[python(code)]);
    let result = &answer["toolResults"][0]["result"];
    let entry = |name: &str| {
        let files = result["outputFiles"].as_array().unwrap();
        files
            .iter()
            .find(|file| file["name"] == name)
            .unwrap_or_else(|| panic!("no {name}: {result}"))
            .clone()
    };
    assert_eq!(entry("huge.bin")["error"], "File is larger than the limit of 10 MB");
    assert!(entry("fine.txt")["url"].is_string());
    for special in ["link.txt", "pipe"] {
        let entry = entry(special);
        assert!(entry["error"].is_string() && entry.get("url").is_none(), "{entry}");
    }
    assert_eq!(answer["toolResults"][0]["files"].as_array().unwrap().len(), 1, "{answer}");
}

/// A write through a shared mapping leaves size, inode and all times of a file as they were; its content is delivered all the
/// same, and what did not change is not delivered again.
#[test]
fn a_file_changed_through_a_mapping_is_delivered_again() {
    if !require("native") {
        return;
    }
    let server = Serve::start();
    let first =
        "import os\nfor name in 'changed', 'same': open(f'/output/{name}.txt', 'w').write('before' * 100)";
    let files = server.call("m", &[], &[python(first)])["toolResults"][0]["files"].clone();
    assert_eq!(files.as_array().map(Vec::len), Some(2), "{files}");
    let second = "import mmap, os\nfile = open('/output/changed.txt', 'r+b')\nseen = os.stat('/output/changed.txt')\n\
        area = mmap.mmap(file.fileno(), 600)\narea[0:6] = b'behind'\narea.close()\n\
        now = os.stat('/output/changed.txt')\n\
        print((seen.st_size, seen.st_ino, seen.st_ctime_ns, seen.st_mtime_ns) == (now.st_size, now.st_ino, now.st_ctime_ns, now.st_mtime_ns))";
    let answer = server.call("m", &[], &[python(second)]);
    assert_eq!(answer["toolResults"][0]["result"]["stdout"], "True\n", "the attack works: {answer}");
    let files = answer["toolResults"][0]["files"].as_array().cloned().unwrap_or_default();
    let names: Vec<&str> = files.iter().map(|file| file["filename"].as_str().unwrap()).collect();
    assert_eq!(names, ["changed.txt"], "{answer}");
    let content = fetch(&server, named(&files, "changed.txt")["url"].as_str().unwrap()).send();
    assert!(content.text().starts_with("behindbefore"), "{}", content.text());
}
