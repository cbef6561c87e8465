import { signal } from "@preact/signals";

const THEMES = ["auto", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];
const NAMES = { auto: "Auto", light: "Light", dark: "Dark" };
const STORED = "pursuit-theme";

const isTheme = (text: string | null): text is Theme => THEMES.includes(text as Theme);
const stored = localStorage.getItem(STORED);
const theme = signal<Theme>(isTheme(stored) ? stored : "auto");

function show(next: Theme): void {
  theme.value = next;
  localStorage.setItem(STORED, next);
  document.documentElement.dataset["theme"] = next;
}
document.documentElement.dataset["theme"] = theme.peek();

/** Goes from the system's choice to light, to dark, and back. */
export function ThemeButton() {
  const now = theme.value;
  return (
    <button
      type="button"
      class="quiet"
      aria-label={`Colours: ${NAMES[now]}`}
      onClick={() => show(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]!)}
    >
      <svg viewBox="0 0 16 16" width="15" height="15" aria-hidden="true">
        <circle cx="8" cy="8" r="6.2" fill="none" stroke="currentColor" stroke-width="1.6" />
        {now !== "light" && (
          <path
            d={now === "dark" ? "M8 1.8a6.2 6.2 0 0 1 0 12.4z" : "M8 1.8a6.2 6.2 0 0 0 0 12.4z"}
            fill="currentColor"
          />
        )}
        {now === "dark" && <circle cx="8" cy="8" r="6.2" fill="currentColor" />}
      </svg>
      <span class="wide-only">{NAMES[now]}</span>
    </button>
  );
}
