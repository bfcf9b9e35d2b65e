//! Reads one file into what the rules need: the paths it names, its modules, its functions and its async keywords.
//!
//! Comments, strings and everything compiled for tests only (`#[cfg(test)]`) are left out.

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::{Problem, Rule};

/// A path as written, such as `super::weight::Weight`, with the module it is written in.
#[derive(Clone, Debug)]
pub struct Written {
    /// The segments as written; a glob ends with `*`.
    pub segments: Vec<String>,
    /// Whether it begins with `::` and so names another crate.
    pub leading_colon: bool,
    /// The absolute path of the module it stands in, without `crate`.
    pub module: Vec<String>,
    /// The line, counted from 1.
    pub line: usize,
    /// The name it is imported under; `None` for a path that is not an import.
    pub alias: Option<String>,
    /// Whether the import is public and so gives the name a second place.
    pub public: bool,
}

/// One function outside of tests.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line of its signature, counted from 1.
    pub line: usize,
    /// Lines from its signature to its closing brace.
    pub length: usize,
}

/// What one file says, tests left out.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The path relative to the root of the repository.
    pub path: String,
    /// The module the file holds; empty for the root of the crate.
    pub module: Vec<String>,
    /// Every path of two or more segments, and every import.
    pub names: Vec<Written>,
    /// Modules declared in the file, in a file of their own or inline, as absolute paths.
    pub modules: Vec<Vec<String>>,
    /// Modules declared in the file for tests only, as absolute paths.
    pub test_modules: Vec<Vec<String>>,
    /// Files that the file declares by `#[path]` for tests only.
    pub test_files: Vec<String>,
    /// Modules that the file declares by `#[path]` outside of tests, with their lines.
    pub displaced: Vec<(String, usize)>,
    /// Functions and methods with a body.
    pub functions: Vec<Function>,
    /// Lines with `async` or `await`.
    pub async_lines: Vec<usize>,
    /// Names of macros called by a bare name, such as `println`, with their lines.
    pub macros: Vec<(String, usize)>,
}

impl Source {
    /// Parses a file below `src/`.
    ///
    /// # Errors
    /// When the text is not Rust.
    pub fn parse(path: &str, text: &str) -> Result<Self, Problem> {
        let file = syn::parse_file(text).map_err(|error| Problem {
            path: path.to_owned(),
            line: error.span().start().line,
            rule: Rule::Parses,
            message: format!("cannot be parsed: {error}"),
        })?;
        let module = module_of(path);
        let mut reader = Reader { module: module.clone(), found: Self { path: path.to_owned(), module, ..Self::default() } };
        // A file that is compiled for tests only may know everything.
        if !for_tests_only(&file.attrs) {
            reader.visit_file(&file);
        }
        Ok(reader.found)
    }
}

/// Tells the module a file below `src/` holds: `src/a/b.rs` and `src/a/b/mod.rs` hold `a::b`, `src/lib.rs` the root.
fn module_of(path: &str) -> Vec<String> {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut segments: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if segments.last().is_some_and(|last| last == "mod") || inner == "lib" {
        segments.pop();
    }
    segments
}

struct Reader {
    module: Vec<String>,
    found: Source,
}

impl Reader {
    fn name(&mut self, segments: Vec<String>, leading_colon: bool, line: usize) {
        if segments.len() > 1 {
            self.import(segments, leading_colon, line, None, false);
        }
    }

    fn import(&mut self, segments: Vec<String>, leading_colon: bool, line: usize, alias: Option<String>, public: bool) {
        self.found.names.push(Written { segments, leading_colon, module: self.module.clone(), line, alias, public });
    }

    /// Walks the branches of an import.
    fn use_tree(&mut self, tree: &syn::UseTree, before: &[String], item: &syn::ItemUse) {
        let with = |ident: &syn::Ident| -> Vec<String> { before.iter().cloned().chain([ident.to_string()]).collect() };
        let colon = item.leading_colon.is_some();
        let public = !matches!(item.vis, syn::Visibility::Inherited);
        let line = tree.span().start().line;
        match tree {
            syn::UseTree::Path(path) => self.use_tree(&path.tree, &with(&path.ident), item),
            syn::UseTree::Group(group) => group.items.iter().for_each(|inner| self.use_tree(inner, before, item)),
            syn::UseTree::Glob(_) => {
                let segments = before.iter().cloned().chain(["*".to_owned()]).collect();
                self.import(segments, colon, line, Some("*".to_owned()), public);
            }
            syn::UseTree::Name(name) if name.ident == "self" => {
                self.import(before.to_vec(), colon, line, before.last().cloned(), public);
            }
            syn::UseTree::Name(name) => self.import(with(&name.ident), colon, line, Some(name.ident.to_string()), public),
            syn::UseTree::Rename(rename) => {
                let segments = if rename.ident == "self" { before.to_vec() } else { with(&rename.ident) };
                self.import(segments, colon, line, Some(rename.rename.to_string()), public);
            }
        }
    }

    /// Finds paths and async keywords in the tokens of a macro call, which have no grammar of their own.
    fn tokens(&mut self, tokens: TokenStream) {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(tree) = trees.get(at) {
            at += 1;
            match tree {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(ident) => {
                    let variable = ident != "crate" && at > 1 && is_punct(trees.get(at - 2), '$');
                    let line = ident.span().start().line;
                    if ident == "async" || ident == "await" {
                        self.found.async_lines.push(line);
                    }
                    let mut segments = vec![ident.to_string()];
                    while let (true, true, Some(TokenTree::Ident(next))) =
                        (is_punct(trees.get(at), ':'), is_punct(trees.get(at + 1), ':'), trees.get(at + 2))
                    {
                        segments.push(next.to_string());
                        at += 3;
                    }
                    if !variable {
                        self.name(segments, false, line);
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let line = signature.span().start().line;
        let length = block.span().end().line + 1 - line;
        self.found.functions.push(Function { name: signature.ident.to_string(), line, length });
    }
}

fn is_punct(tree: Option<&TokenTree>, sign: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

/// Tells whether an item is compiled for tests only: `cfg(test)`, or `cfg(all(…))` with `test` among its parts.
fn for_tests_only(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Meta>().is_ok_and(|condition| needs_test(&condition))
    })
}

fn needs_test(condition: &syn::Meta) -> bool {
    match condition {
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::List(list) if list.path.is_ident("all") => list
            .parse_args_with(syn::punctuated::Punctuated::<syn::Meta, syn::Token![,]>::parse_terminated)
            .is_ok_and(|parts| parts.iter().any(needs_test)),
        _ => false,
    }
}

/// The file that `#[path = "…"]` names.
fn file_attribute(attributes: &[syn::Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(syn::MetaNameValue { path, value: syn::Expr::Lit(literal), .. }) if path.is_ident("path") => {
            match &literal.lit {
                syn::Lit::Str(file) => Some(file.value()),
                _ => None,
            }
        }
        _ => None,
    })
}

fn item_attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::ExternCrate(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !for_tests_only(item_attributes(item)) {
            visit::visit_item(self, item);
        } else if let syn::Item::Mod(module) = item {
            self.found.test_modules.push(self.module.iter().cloned().chain([module.ident.to_string()]).collect());
            let folder = self.found.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            self.found.test_files.extend(file_attribute(&module.attrs).map(|file| format!("{folder}/{file}")));
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !for_tests_only(&function.attrs) {
            self.function(&function.sig, &function.block);
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.function(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.function(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !for_tests_only(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !for_tests_only(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if file_attribute(&module.attrs).is_some() {
            self.found.displaced.push((module.ident.to_string(), module.span().start().line));
        }
        self.module.push(module.ident.to_string());
        self.found.modules.push(self.module.clone());
        visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree(&item.tree, &[], item);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        let alias = item.rename.as_ref().map_or(&item.ident, |(_, name)| name).to_string();
        self.import(vec![item.ident.to_string()], true, item.span().start().line, Some(alias), false);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // `pub(in crate::domain)` says who may see an item; it imports nothing.
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta
            && list.path.is_ident("derive")
        {
            self.tokens(list.tokens.clone());
        }
        let path: Vec<String> = attribute.path().segments.iter().map(|segment| segment.ident.to_string()).collect();
        let of_a_tool = path.first().is_some_and(|first| ["clippy", "rustfmt", "rustdoc", "diagnostic"].contains(&first.as_str()));
        if !of_a_tool {
            self.name(path, false, attribute.span().start().line);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.name(segments, path.leading_colon.is_some(), path.span().start().line);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if let Some(name) = call.path.get_ident() {
            self.found.macros.push((name.to_string(), call.path.span().start().line));
        }
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone());
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if let Some(keyword) = &signature.asyncness {
            self.found.async_lines.push(keyword.span().start().line);
        }
        visit::visit_signature(self, signature);
    }

    fn visit_expr_async(&mut self, expression: &'ast syn::ExprAsync) {
        self.found.async_lines.push(expression.async_token.span.start().line);
        visit::visit_expr_async(self, expression);
    }

    fn visit_expr_await(&mut self, expression: &'ast syn::ExprAwait) {
        self.found.async_lines.push(expression.await_token.span.start().line);
        visit::visit_expr_await(self, expression);
    }

    fn visit_expr_closure(&mut self, closure: &'ast syn::ExprClosure) {
        if let Some(keyword) = &closure.asyncness {
            self.found.async_lines.push(keyword.span().start().line);
        }
        visit::visit_expr_closure(self, closure);
    }
}
