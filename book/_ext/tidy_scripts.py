"""Keep each script once on a page and drop thebe's, which would load from another host when clicked."""


def tidy(app, pagename, templatename, context, doctree):
    seen, kept = set(), []
    for script in context.get("script_files", []):
        body = getattr(script, "attributes", {}).get("body") or ""
        name = body or str(getattr(script, "filename", script))
        if "thebe" in name.lower() or name in seen:
            continue
        seen.add(name)
        kept.append(script)
    context["script_files"] = kept


def setup(app):
    app.connect("html-page-context", tidy, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
