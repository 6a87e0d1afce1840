//! `GET /`: a page for people that lists the routes.

use std::fmt::Write as _;

use axum::{response::Html, routing::get};

use super::{ROUTES, Route};

/// The route.
pub const ROUTE: Route = Route {
    path: "/",
    summary: "This page.",
    parameters: &[],
    on_metrics_only: false,
    handler: || get(index),
};

const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
    <meta name=\"viewport\" content=\"width=device-width\"><title>tcpwatch</title>\
    <style>body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;\
    padding:0 1rem;color-scheme:light dark}dt{margin-top:1rem}code{font-size:.95em}\
    ul{margin:.25rem 0}</style></head><body><h1>tcpwatch</h1>\n";

/// Made of constants only, none of which holds a character that HTML would read as markup.
async fn index() -> Html<String> {
    let mut page = format!(
        "{HEAD}<p>Version {}.</p>\n<dl>\n",
        env!("CARGO_PKG_VERSION")
    );
    for Route {
        path,
        summary,
        parameters,
        ..
    } in ROUTES
    {
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "<dt><a href=\"{path}\"><code>GET {path}</code></a></dt><dd>{summary}"
        );
        if !parameters.is_empty() {
            page.push_str("<ul>");
            for parameter in *parameters {
                let _ = write!(
                    page,
                    "<li><code>{}</code>: {}{}</li>",
                    parameter.name,
                    parameter.meaning,
                    if parameter.repeatable {
                        " (repeatable)"
                    } else {
                        ""
                    }
                );
            }
            page.push_str("</ul>");
        }
        page.push_str("</dd>\n");
    }
    page.push_str("</dl></body></html>\n");
    Html(page)
}
