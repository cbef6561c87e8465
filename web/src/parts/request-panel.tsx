import { useState } from "preact/hooks";
import { type Snippet, shortened } from "../api/snippets.ts";

const LANGUAGES = ["curl", "python"] as const;

/** The request behind a view: shown short, copied whole. */
export function RequestPanel({
  snippet,
  title = "The request behind this view",
}: {
  readonly snippet: Snippet;
  readonly title?: string;
}) {
  const [language, setLanguage] = useState<(typeof LANGUAGES)[number]>("curl");
  const [copied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(snippet[language]);
    setCopied(true);
  };
  return (
    <details class="request">
      <summary>{title}</summary>
      <div class="request-bar">
        <div class="segments" role="group" aria-label="Language">
          {LANGUAGES.map((one) => (
            <button
              key={one}
              type="button"
              aria-pressed={one === language}
              onClick={() => {
                setLanguage(one);
                setCopied(false);
              }}
            >
              {one === "curl" ? "curl" : "Python"}
            </button>
          ))}
        </div>
        <button type="button" class="button" onClick={() => void copy()}>
          {copied ? "Copied" : "Copy"}
        </button>
      </div>
      <pre tabIndex={0} aria-label={`Request in ${language}`}>
        {shortened(snippet[language])}
      </pre>
    </details>
  );
}
