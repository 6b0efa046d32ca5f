"""The page's style sheet: one column of text, plots and tables that wrap on narrow windows, light and dark."""

STYLE = """
:root { --ink: #1c2024; --soft: #5c646d; --line: #dfe3e8; --paper: #ffffff; --wash: #f5f7f9; --good: #00734f;
  --bad: #b3261e; --goal: #d9efe6; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7eaee; --soft: #a0a8b2; --line: #353b43; --paper: #15181c;
  --wash: #1e2227; --good: #5fd0a5; --bad: #ff8f85; --goal: #173a2d; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 32px 20px 80px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 6px; }
h2 { font-size: 20px; margin: 48px 0 8px; padding-top: 12px; border-top: 1px solid var(--line); }
h3 { font-size: 15px; margin: 20px 0 6px; }
p, li { max-width: 86ch; } p { margin: 6px 0 12px; }
p.lead, figcaption, .soft { color: var(--soft); }
nav { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 14px 0 0; }
nav a { color: inherit; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(165px, 1fr)); gap: 10px; margin: 16px 0; }
.card { background: var(--wash); border-radius: 8px; padding: 10px 14px; border-left: 4px solid var(--line); }
.card.met { border-color: var(--good); } .card.missed { border-color: var(--bad); }
.card b { display: block; font-size: 22px; line-height: 1.25; font-variant-numeric: tabular-nums; }
.card b small { font-size: 13px; font-weight: 400; }
.card span { display: block; font-size: 13px; } .card small { color: var(--soft); }
.scroll { overflow-x: auto; margin: 8px 0 16px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 4px 12px 4px 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { color: var(--soft); font-weight: 600; }
tr.rig td { font-weight: 600; }
td.met { color: var(--good); } td.missed { color: var(--bad); font-weight: 600; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); gap: 20px; }
figure { margin: 0; min-width: 0; }
figcaption { font-size: 13.5px; margin-bottom: 2px; color: var(--ink); font-weight: 600; }
svg { width: 100%; height: auto; display: block; }
svg .grid { stroke: var(--line); stroke-width: 1; } svg .band { fill: var(--goal); }
svg .tick { fill: var(--soft); font-size: 11px; } svg .label { fill: var(--ink); font-size: 12px; }
.plots.wide { grid-template-columns: repeat(auto-fill, minmax(min(100%, 500px), 1fr)); gap: 8px 40px; }
.plots.wide th, .plots.wide td { padding-right: 8px; } .plots.wide th { white-space: normal; vertical-align: bottom; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 14px; margin: 2px 0 0; padding: 0; }
.legend { font-size: 13px; }
.legend i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 5px; }
.tiles { display: grid; gap: 3px 3px; min-width: var(--least); align-items: center; }
.tiles img { width: 100%; display: block; border-radius: 3px; }
.tiles span { font-size: 12.5px; color: var(--soft); text-align: center; align-self: end; overflow-wrap: anywhere; }
.tiles span.row { text-align: left; align-self: center; padding-right: 8px; color: var(--ink); }
details { margin: 10px 0; } summary { cursor: pointer; color: var(--soft); }
pre { background: var(--wash); padding: 10px 14px; border-radius: 8px; overflow-x: auto; font-size: 13px; }
@media (max-width: 640px) { main { padding: 20px 14px 60px; } h1 { font-size: 23px; } }
"""
