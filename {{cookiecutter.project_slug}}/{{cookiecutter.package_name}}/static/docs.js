SwaggerUIBundle({ url: document.currentScript.dataset.url, dom_id: "#docs", deepLinking: true });
