"""How a page looks: documents, HTML, Markdown, SVG."""
