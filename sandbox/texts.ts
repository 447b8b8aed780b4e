/** Texts of the generated data. Every person, company and address is invented; mail only at example.com. */

const listOf = (text: string): readonly string[] => text.split('|');

export const firstNames = listOf(
  'Ada|Bruno|Chiara|Dmitri|Élodie|Farid|Greta|Hiroshi|Ines|Jonas|Katya|Luca|Māra|Nuño|Oksana|Pelle|Qiang|Rosa|Søren|' +
    'Tomasz|Ulla|Véra|Wim|Xenia|Yusuf|Zoë|美咲|Ольга|عمر|지우',
);

export const lastNames = listOf(
  'Abbondanza|Brückner|Castellomare|Dvořák-Sample|Emberglow|Fjordsen|Galindez|Hollowby|Imaginato|Jablonski|Kettlewick|' +
    "Lindqvister|Marrowbone|Nightingall|O'Madeup|Pennyfeather|Quillfeather|Rossignolo|Sandvik|Thistledown|Underhay|" +
    'Vandermeer|Wexcombe|Yellowley|Zucchinelli|佐藤|Иванова',
);

export const companies = listOf(
  'Example Ltd|Made-up Bakery|Nowhere Logistics|Sample & Daughters|Imaginary Bikes|Ønskeby A/S|テスト商店',
);

export const cities = listOf('Nowhere|Lower Sampleton|Fabletown|Città Finta|Övre Påhitt|Испытательск');
export const countries = listOf('Italy|France|Japan|Poland|Norway|Brazil');

export const questions = listOf(
  'Hello, where is my order?|Buongiorno, vorrei un preventivo|Can I change the delivery address?|My invoice is wrong 😕|Hi|' +
    'Bonjour, le lien ne marche pas|注文をキャンセルできますか？|Где моя посылка?|I need a refund, please 🙏🏽|' +
    'Does the blue one come in size 42?|Line one\nline two\twith a tab|مرحبا، أحتاج مساعدة|' +
    '"quoted" and \\backslashed\\ text|<b>not html</b> &amp; more|it\'s about ticket 00123|👩‍👩‍👧‍👦 family plan?',
);

export const replies = listOf(
  'Good morning, let me have a look.|Could you give me the order number?|Done, you will get a mail shortly.|' +
    'Un attimo, controllo subito.|Thanks for waiting!|Here is a picture of it.|ありがとうございます。|Отправлено ✅',
);

export const leadTags = listOf('vip|newsletter|b2b|trial|à rappeler');

export const requestTags: readonly { readonly tag: string; readonly color?: string }[] = [
  { tag: 'billing', color: '#ff0000' },
  { tag: 'delivery', color: '#00ff00' },
  { tag: 'bug', color: '#0000ff' },
  { tag: 'retour ↩' },
];

export const ratingMessages = listOf('nice|too slow|Perfetto, grazie!|⭐⭐⭐⭐|');
export const notes = listOf('called back, no answer|internal made-up note|promised a discount of 5 %');
export const languages = listOf('en|it|fr|ja|ru|de');
export const userAgents = listOf(
  'Mozilla/5.0 (X11; Linux x86_64) example-agent/1.0|' +
    'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) example-agent/2.4|example-agent/1.0',
);
