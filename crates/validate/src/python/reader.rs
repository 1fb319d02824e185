//! The walk through a script's tree that notes its imports, calls and variables.

use std::{collections::BTreeMap, ops::Range};

use ruff_python_ast::{
    Arguments, ExceptHandler, Expr, Stmt,
    visitor::{self, Visitor},
};
use ruff_text_size::{Ranged as _, TextRange};

use crate::python::{Call, Import, Literal, MAX_DEPTH, Need, Python};

#[derive(Default)]
pub(super) struct Reader {
    pub(super) python: Python,
    /// What imported names stand for.
    names: BTreeMap<String, String>,
    /// Bytes before the parsed text.
    skipped: usize,
    depth: usize,
    /// How many functions are around.
    later: usize,
    /// How many reasons there are for which an import need not succeed.
    optional: usize,
    /// How many `try` around are there for whatever fails.
    handled: usize,
    pub(super) too_deep: bool,
}

impl Reader {
    pub(super) fn new(skipped: usize) -> Self {
        Self { skipped, ..Self::default() }
    }

    pub(super) fn range(&self, range: TextRange) -> Range<usize> {
        self.skipped + range.start().to_usize()..self.skipped + range.end().to_usize()
    }

    fn deeper(&mut self, walk: impl FnOnce(&mut Self)) {
        if self.depth >= MAX_DEPTH {
            self.too_deep = true;
            return;
        }
        self.depth += 1;
        walk(self);
        self.depth -= 1;
    }

    fn import(&mut self, range: TextRange, module: &str, level: u32, names: Vec<String>) {
        let need = match (self.optional, self.later) {
            (0, 0) => Need::Start,
            (0, _) => Need::Later,
            _ => Need::Optional,
        };
        let range = self.range(range);
        self.python.imports.push(Import { range, module: module.to_owned(), level, names, need });
    }

    fn statement(&mut self, statement: &Stmt) {
        match statement {
            Stmt::Import(import) => {
                for alias in &import.names {
                    let module = alias.name.as_str();
                    self.import(alias.range(), module, 0, Vec::new());
                    if let Some(name) = &alias.asname {
                        self.names.insert(name.to_string(), module.to_owned());
                    }
                }
            }
            Stmt::ImportFrom(import) => {
                let module = import.module.as_ref().map(|module| module.as_str()).unwrap_or_default();
                let names = import.names.iter().map(|alias| alias.name.to_string()).collect();
                self.import(import.range(), module, import.level, names);
                if import.level == 0 {
                    for alias in &import.names {
                        let name = alias.asname.as_ref().unwrap_or(&alias.name).to_string();
                        self.names.insert(name, format!("{module}.{}", alias.name));
                    }
                }
            }
            Stmt::Try(attempt) => {
                let handled = attempt.handlers.iter().any(|handler| handles(handler, &MISSING_MODULE));
                let goes_on = attempt.handlers.iter().any(|handler| handles(handler, &MISSING_PROGRAM));
                self.optional += usize::from(handled);
                self.handled += usize::from(goes_on);
                self.visit_body(&attempt.body);
                self.handled -= usize::from(goes_on);
                // What stands in for a missing module is one of two.
                for handler in &attempt.handlers {
                    self.visit_except_handler(handler);
                }
                self.optional -= usize::from(handled);
                self.visit_body(&attempt.orelse);
                self.visit_body(&attempt.finalbody);
            }
            Stmt::If(choice) => {
                let conditional = depends_on_system(&choice.test);
                self.python.has_main |= is_main(&choice.test);
                self.optional += usize::from(conditional);
                visitor::walk_stmt(self, statement);
                self.optional -= usize::from(conditional);
            }
            Stmt::FunctionDef(_) => {
                self.later += 1;
                visitor::walk_stmt(self, statement);
                self.later -= 1;
            }
            _ => visitor::walk_stmt(self, statement),
        }
    }

    fn expression(&mut self, expression: &Expr) {
        match expression {
            Expr::Call(call) => {
                let name = self.name(&call.func, 0);
                if let Some(name) = name {
                    let receiver = match &*call.func {
                        Expr::Attribute(method) => match &*method.value {
                            Expr::Call(call) => call.arguments.args.first().map(Literal::of),
                            _ => None,
                        },
                        _ => None,
                    };
                    let (arguments, keywords) = literals(&call.arguments);
                    let call = Call {
                        range: self.range(expression.range()),
                        name,
                        receiver,
                        arguments,
                        is_handled: self.handled > 0,
                        keywords,
                    };
                    self.variable_of(&call);
                    self.python.calls.push(call);
                }
            }
            Expr::Subscript(subscript)
                if subscript.ctx.is_load()
                    && self.name(&subscript.value, 0).as_deref() == Some("os.environ") =>
            {
                if let Expr::StringLiteral(name) = &*subscript.slice {
                    let range = self.range(subscript.range);
                    self.python.variables.push((range, name.value.to_str().to_owned()));
                }
            }
            _ => {}
        }
        visitor::walk_expr(self, expression);
    }

    fn variable_of(&mut self, call: &Call) {
        if matches!(call.name.as_str(), "os.getenv" | "os.environ.get")
            && call.argument(1, "default").is_none_or(|default| default.text() == Some(""))
            && let Some(Literal::Text(name)) = call.argument(0, "key")
        {
            self.python.variables.push((call.range.clone(), name.clone()));
        }
    }

    /// What an expression names, with `()` for a call and `?` for anything else.
    fn name(&self, expression: &Expr, depth: usize) -> Option<String> {
        // Deeper names mean nothing to any check.
        if depth > 8 {
            return None;
        }
        match expression {
            Expr::Name(name) => {
                let name = name.id.as_str();
                Some(self.names.get(name).map_or(name, String::as_str).to_owned())
            }
            Expr::Attribute(attribute) => {
                let value = self.name(&attribute.value, depth + 1).unwrap_or_else(|| "?".to_owned());
                Some(format!("{value}.{}", attribute.attr))
            }
            Expr::Call(call) => Some(format!("{}()", self.name(&call.func, depth + 1)?)),
            _ => None,
        }
    }
}

impl<'a> Visitor<'a> for Reader {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        self.deeper(|reader| reader.statement(statement));
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        self.deeper(|reader| reader.expression(expression));
    }

    fn visit_pattern(&mut self, pattern: &'a ruff_python_ast::Pattern) {
        self.deeper(|reader| visitor::walk_pattern(reader, pattern));
    }

    fn visit_annotation(&mut self, _expression: &'a Expr) {
        // Annotations do nothing when a script runs.
    }
}

fn literals(arguments: &Arguments) -> (Vec<Literal>, Vec<(String, Literal)>) {
    let keywords = arguments
        .keywords
        .iter()
        .filter_map(|keyword| Some((keyword.arg.as_ref()?.to_string(), Literal::of(&keyword.value))))
        .collect();
    (arguments.args.iter().map(Literal::of).collect(), keywords)
}

/// What a missing module raises.
const MISSING_MODULE: [&str; 4] = ["ImportError", "ModuleNotFoundError", "Exception", "BaseException"];
/// What a missing program raises.
const MISSING_PROGRAM: [&str; 4] = ["FileNotFoundError", "OSError", "Exception", "BaseException"];

/// Whether a handler lets a script go on after one of these; one that ends the script does not.
fn handles(handler: &ExceptHandler, errors: &[&str]) -> bool {
    let ExceptHandler::ExceptHandler(handler) = handler;
    let is_one =
        |expression: &Expr| expression.as_name_expr().is_some_and(|name| errors.contains(&name.id.as_str()));
    let fits = match handler.type_.as_deref() {
        None => true,
        Some(Expr::Tuple(types)) => types.elts.iter().any(is_one),
        Some(other) => is_one(other),
    };
    fits && !handler.body.iter().any(ends_script)
}

fn ends_script(statement: &Stmt) -> bool {
    match statement {
        Stmt::Raise(_) => true,
        Stmt::Expr(statement) => statement.value.as_call_expr().is_some_and(|call| match &*call.func {
            Expr::Name(name) => matches!(name.id.as_str(), "exit" | "quit"),
            Expr::Attribute(method) => matches!(method.attr.as_str(), "exit" | "_exit"),
            _ => false,
        }),
        _ => false,
    }
}

/// `TYPE_CHECKING`, `sys.version_info`, `sys.platform`, `os.name`: what is below is not for every system.
fn depends_on_system(test: &Expr) -> bool {
    match test {
        Expr::Name(name) => name.id.as_str() == "TYPE_CHECKING",
        Expr::Attribute(attribute) => {
            matches!(attribute.attr.as_str(), "TYPE_CHECKING" | "version_info" | "platform")
                || attribute.attr.as_str() == "name"
                    && attribute.value.as_name_expr().is_some_and(|name| name.id.as_str() == "os")
        }
        Expr::Compare(compare) => depends_on_system(&compare.left),
        Expr::Subscript(subscript) => depends_on_system(&subscript.value),
        Expr::Call(call) => match &*call.func {
            Expr::Attribute(method) => {
                matches!(method.attr.as_str(), "startswith" | "system")
                    && depends_on_system_value(&method.value)
            }
            _ => false,
        },
        _ => false,
    }
}

/// `sys.platform` in `sys.platform.startswith`, `platform` in `platform.system()`.
fn depends_on_system_value(value: &Expr) -> bool {
    match value {
        Expr::Name(name) => name.id.as_str() == "platform",
        Expr::Attribute(attribute) => attribute.attr.as_str() == "platform",
        _ => false,
    }
}

fn is_main(test: &Expr) -> bool {
    let Expr::Compare(compare) = test else { return false };
    let is_name =
        |expression: &Expr| expression.as_name_expr().is_some_and(|name| name.id.as_str() == "__name__");
    is_name(&compare.left) || compare.comparators.iter().any(is_name)
}
