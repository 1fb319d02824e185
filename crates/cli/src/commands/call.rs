//! `skillbox call`: one tool call, and the tool result that a model would get.

use serde_json::Value;
use tool::{ToolCall, ToolPrefix, replace_lone_surrogates};

use runner::{CallRequest, Declaration};

use crate::{
    args::{Call, Global},
    commands::program,
    error::CommandError,
    exit::Exit,
    files::{self, Delivered, OutputDirectory},
    interrupt::{Interrupt, block_on},
    options::InputSpec,
    output,
    output::Output,
    sandboxes::{self, OneRunner},
    skills,
};

pub(crate) fn execute(command: &Call, global: &Global, output: Output) -> Result<Exit, CommandError> {
    let catalog = skills::catalog(skills::load(&command.skills)?);
    let inputs = command.inputs.iter().map(InputSpec::read).collect::<Result<_, _>>()?;
    let call = tool_call(command)?;
    let declaration = Declaration { inputs, ..Declaration::default() };
    let (result, failed) = block_on(async |interrupt: Interrupt| {
        let cancel = interrupt.token();
        let one = OneRunner::start(global, catalog, output, &interrupt).await?;
        if ToolPrefix::default().parse(&call.tool_name).is_some_and(|tool| !tool.needs_no_sandbox()) {
            tokio::select! {
                prepared = one.prepare(output) => prepared?,
                () = cancel.cancelled() => return Err(CommandError::interrupted()),
            }
        }
        let called = one.call(&sandboxes::trigger()?, declaration, CallRequest::new(call), cancel).await;
        let outcome = match called {
            Ok(answer) => {
                let delivered = OutputDirectory::new(&command.output.directory)
                    .deliver(&answer.report.files, &one.store)
                    .await;
                program::note_files(&delivered, output);
                if let (true, Some(fault)) = (output.verbose, &answer.report.fault) {
                    output.note(&format!("  caused by: {}", crate::escape::text(fault)));
                }
                let mut result = serde_json::to_value(&answer.answer.result).unwrap_or_default();
                point_at_files(&mut result, &delivered);
                Ok((result, answer.answer.result.error.is_some()))
            }
            Err(error) => Err(error),
        };
        one.stop().await;
        if cancel.is_cancelled() { Err(CommandError::interrupted()) } else { outcome }
    })
    .map_err(CommandError::without_a_program)?;
    if output.json {
        output.print_json(&result)?;
    } else {
        output::print_indented(&result)?;
    }
    Ok(if failed { Exit::FINDINGS } else { Exit::OK })
}

fn tool_call(command: &Call) -> Result<ToolCall, CommandError> {
    let text = match command.args.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| CommandError::io(format!("`{file}` cannot be read"), &error))?,
        None => command.args.clone(),
    };
    let mut text = text.into_bytes();
    replace_lone_surrogates(&mut text);
    let args: Value = serde_json::from_slice(&text).map_err(|error| {
        CommandError::usage("the arguments are not JSON")
            .caused_by(Some(&error))
            .hint(r#"for example `skillbox call code_run --args '{"language": "bash", "code": "date"}'`"#)
    })?;
    let prefix = ToolPrefix::default();
    let with_prefix = format!("{prefix}{}", command.tool);
    let tool_name = if prefix.parse(&with_prefix).is_some() { with_prefix } else { command.tool.clone() };
    Ok(ToolCall {
        tool_call_id: "call_1".to_owned(),
        tool_name,
        args,
        source: None,
        output_variable: None,
        block_index: None,
    })
}

/// Links of the result into the temporary store become links to where the files are now.
fn point_at_files(value: &mut Value, delivered: &[Delivered]) {
    match value {
        Value::String(text) => {
            let now = delivered.iter().find_map(|file| {
                let reference = file.file.reference()?;
                (reference.url == *text).then(|| file.place.as_ref().map(|path| files::url(path)))?.ok()
            });
            if let Some(url) = now {
                *text = url;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| point_at_files(item, delivered)),
        Value::Object(members) => members.values_mut().for_each(|member| point_at_files(member, delivered)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tool::{OutputFile, OutputFileState};

    use super::*;

    #[test]
    fn only_links_to_delivered_files_are_replaced() {
        let file = OutputFile {
            name: "a.png".into(),
            path: "/output/a.png".into(),
            media_type: "image/png".into(),
            size: 1,
            state: OutputFileState::Stored { id: "file_a".into(), url: "file:///tmp/x".into() },
        };
        let delivered = [Delivered { file, place: Ok("/out/a.png".into()) }];
        let mut value = json!({"url": "file:///tmp/x", "files": [{"url": "file:///tmp/x"}, "file:///tmp/y"]});
        point_at_files(&mut value, &delivered);
        assert_eq!(
            value,
            json!({"url": "file:///out/a.png", "files": [{"url": "file:///out/a.png"}, "file:///tmp/y"]})
        );
    }
}
