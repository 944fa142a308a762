<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="ar">
<context>
    <name>Columns</name>
    <message>
        <source>Passed</source>
        <translation>اجتاز</translation>
    </message>
    <message>
        <source>Refused</source>
        <translation>رُفض</translation>
    </message>
    <message>
        <source>Not checked</source>
        <translation>لم يُفحص</translation>
    </message>
    <message>
        <source>Job</source>
        <translation>المهمة</translation>
    </message>
    <message>
        <source>Kind</source>
        <translation>النوع</translation>
    </message>
    <message>
        <source>Model</source>
        <translation>النموذج</translation>
    </message>
    <message>
        <source>State</source>
        <translation>الحالة</translation>
    </message>
    <message>
        <source>Progress</source>
        <translation>التقدّم</translation>
    </message>
    <message>
        <source>Loss</source>
        <translation>الخسارة</translation>
    </message>
    <message>
        <source>Started</source>
        <translation>بدأت في</translation>
    </message>
    <message>
        <source>Version</source>
        <translation>الإصدار</translation>
    </message>
    <message>
        <source>Gate</source>
        <translation>البوابة</translation>
    </message>
    <message>
        <source>Alias</source>
        <translation>الاسم المستعار</translation>
    </message>
    <message>
        <source>Loss before</source>
        <translation>الخسارة قبل</translation>
    </message>
    <message>
        <source>Loss after</source>
        <translation>الخسارة بعد</translation>
    </message>
    <message>
        <source>Base</source>
        <translation>الأساس</translation>
    </message>
    <message>
        <source>Made</source>
        <translation>أُنشئ في</translation>
    </message>
    <message>
        <source>Deployment</source>
        <translation>النشر</translation>
    </message>
    <message>
        <source>Node</source>
        <translation>العقدة</translation>
    </message>
    <message>
        <source>Endpoint</source>
        <translation>عنوان الخدمة</translation>
    </message>
    <message>
        <source>Tasks</source>
        <translation>الأعمال</translation>
    </message>
    <message>
        <source>Cores</source>
        <translation>الأنوية</translation>
    </message>
    <message>
        <source>Memory</source>
        <translation>الذاكرة</translation>
    </message>
    <message>
        <source>GPUs</source>
        <translation>معالجات الرسوم</translation>
    </message>
    <message>
        <source>none</source>
        <translation>لا يوجد</translation>
    </message>
    <message>
        <source>Dataset</source>
        <translation>مجموعة البيانات</translation>
    </message>
    <message>
        <source>Rows</source>
        <translation>الصفوف</translation>
    </message>
    <message>
        <source>Format</source>
        <translation>الصيغة</translation>
    </message>
    <message>
        <source>Size</source>
        <translation>الحجم</translation>
    </message>
    <message>
        <source>Digest</source>
        <translation>البصمة</translation>
    </message>
    <message>
        <source>Added</source>
        <translation>أُضيفت في</translation>
    </message>
    <message>
        <source>Base model</source>
        <translation>النموذج الأساس</translation>
    </message>
    <message>
        <source>Family</source>
        <translation>العائلة</translation>
    </message>
    <message>
        <source>Parameters</source>
        <translation>المعاملات</translation>
    </message>
    <message>
        <source>%1 million</source>
        <translation>%1 مليون</translation>
    </message>
    <message>
        <source>Weights</source>
        <translation>الأوزان</translation>
    </message>
</context>
<context>
    <name>Words</name>
    <message>
        <source>%1 s</source>
        <translation>%1 ث</translation>
    </message>
    <message>
        <source>%1 min %2 s</source>
        <translation>%1 د %2 ث</translation>
    </message>
    <message>
        <source>%1 h %2 min</source>
        <translation>%1 س %2 د</translation>
    </message>
    <message>
        <source>Waiting</source>
        <translation>في الانتظار</translation>
    </message>
    <message>
        <source>Running</source>
        <translation>قيد التنفيذ</translation>
    </message>
    <message>
        <source>Done</source>
        <translation>اكتملت</translation>
    </message>
    <message>
        <source>Failed</source>
        <translation>فشل</translation>
    </message>
    <message>
        <source>Cancelled</source>
        <translation>أُلغيت</translation>
    </message>
    <message>
        <source>Unknown</source>
        <translation>غير معروف</translation>
    </message>
    <message>
        <source>Fine-tune</source>
        <translation>ضبط دقيق</translation>
    </message>
    <message>
        <source>Evaluation</source>
        <translation>تقييم</translation>
    </message>
    <message>
        <source>Starting</source>
        <translation>قيد البدء</translation>
    </message>
    <message>
        <source>Ready</source>
        <translation>في الخدمة</translation>
    </message>
    <message>
        <source>Stopping</source>
        <translation>قيد الإيقاف</translation>
    </message>
    <message>
        <source>Draining</source>
        <translation>قيد الإخلاء</translation>
    </message>
    <message>
        <source>Not heard of</source>
        <translation>انقطع الاتصال</translation>
    </message>
</context>
<context>
    <name>masbak::gui::AskPage</name>
    <message>
        <source>Deployment to ask</source>
        <translation>النشر الذي يُسأل</translation>
    </message>
    <message>
        <source>Your question</source>
        <translation>سؤالك</translation>
    </message>
    <message>
        <source>Ask what only your plant knows</source>
        <translation>اسأل عمّا لا يعرفه سوى منشأتك</translation>
    </message>
    <message>
        <source>Ask</source>
        <translation>اسأل</translation>
    </message>
    <message>
        <source>Base model</source>
        <translation>النموذج الأساس</translation>
    </message>
    <message>
        <source>Answer of the base model</source>
        <translation>إجابة النموذج الأساس</translation>
    </message>
    <message>
        <source>Fine-tune</source>
        <translation>النموذج بعد الضبط الدقيق</translation>
    </message>
    <message>
        <source>Answer of the fine-tune</source>
        <translation>إجابة النموذج بعد الضبط الدقيق</translation>
    </message>
    <message>
        <source>No deployment is ready. Deploy a version first, from the page Versions.</source>
        <translation>لا نشر في الخدمة بعد. انشر إصدارًا أولًا من صفحة «الإصدارات».</translation>
    </message>
    <message>
        <source>Asking</source>
        <translation>طرح السؤال</translation>
    </message>
</context>
<context>
    <name>masbak::gui::Banner</name>
    <message>
        <source>Close the message</source>
        <translation>أغلق الرسالة</translation>
    </message>
</context>
<context>
    <name>masbak::gui::DeploymentsPage</name>
    <message>
        <source>Deployments and nodes</source>
        <translation>عمليات النشر والعُقد</translation>
    </message>
    <message>
        <source>Table of deployments</source>
        <translation>جدول عمليات النشر</translation>
    </message>
    <message>
        <source>Nothing is deployed. Promote a version, then deploy it from the page Versions.</source>
        <translation>لم يُنشر شيء بعد. اعتمد إصدارًا ثم انشره من صفحة «الإصدارات».</translation>
    </message>
    <message>
        <source>Table of nodes</source>
        <translation>جدول العُقد</translation>
    </message>
    <message>
        <source>No node has joined. Start an agent on a host with: masbak-noded</source>
        <translation>لم تنضمّ أي عقدة بعد. شغّل الوكيل على أحد الأجهزة بالأمر: ⁦masbak-noded⁩</translation>
    </message>
    <message>
        <source>Nodes</source>
        <translation>العُقد</translation>
    </message>
    <message>
        <source>Copy the endpoint</source>
        <translation>انسخ عنوان الخدمة</translation>
    </message>
    <message>
        <source>Roll back</source>
        <translation>تراجَع</translation>
    </message>
    <message>
        <source>A rollback goes to %1.</source>
        <translation>يعود بك التراجع إلى %1.</translation>
    </message>
    <message>
        <source>Take new work again</source>
        <translation>استأنف استقبال الأعمال</translation>
    </message>
    <message>
        <source>Take no new work</source>
        <translation>أوقف استقبال الأعمال</translation>
    </message>
    <message>
        <source>Copied. It speaks the OpenAI API.</source>
        <translation>نُسخ العنوان. وهو متوافق مع واجهة ⁦OpenAI⁩ البرمجية.</translation>
    </message>
    <message>
        <source>The rollback</source>
        <translation>التراجع</translation>
    </message>
    <message>
        <source>Resuming the node</source>
        <translation>استئناف عمل العقدة</translation>
    </message>
    <message>
        <source>Draining the node</source>
        <translation>إخلاء العقدة</translation>
    </message>
</context>
<context>
    <name>masbak::gui::JobsPage</name>
    <message>
        <source>Table of jobs</source>
        <translation>جدول المهام</translation>
    </message>
    <message>
        <source>No job yet. Start a fine-tune, and it appears here with its loss as it learns.</source>
        <translation>لا مهام بعد. ابدأ ضبطًا دقيقًا فيظهر هنا مع منحنى خسارته وهو يتعلّم.</translation>
    </message>
    <message>
        <source>Cancel the job</source>
        <translation>إلغاء المهمة</translation>
    </message>
    <message>
        <source>No job selected</source>
        <translation>لم تُحدَّد مهمة</translation>
    </message>
    <message>
        <source>Job %1 for %2</source>
        <translation>المهمة %1 للنموذج %2</translation>
    </message>
    <message>
        <source>loss %1</source>
        <translation>الخسارة %1</translation>
    </message>
    <message>
        <source>evaluation loss %1</source>
        <translation>خسارة التقييم %1</translation>
    </message>
    <message>
        <source>%1 tokens a second</source>
        <translation>%1 رمز في الثانية</translation>
    </message>
    <message>
        <source>learning rate %1</source>
        <translation>معدّل التعلّم %1</translation>
    </message>
    <message>
        <source>about %1 left</source>
        <translation>بقي نحو %1</translation>
    </message>
    <message>
        <source>Cancelling the job</source>
        <translation>إلغاء المهمة</translation>
    </message>
    <message>
        <source>Jobs</source>
        <translation>المهام</translation>
    </message>
    <message>
        <source>Copy the details</source>
        <translation>انسخ التفاصيل</translation>
    </message>
    <message>
        <source>Copied</source>
        <translation>نُسخت</translation>
    </message>
    <message>
        <source>Reading the job&apos;s log</source>
        <translation>الاطلاع على سجل المهمة</translation>
    </message>
</context>
<context>
    <name>masbak::gui::LossChart</name>
    <message>
        <source>Training loss</source>
        <translation>خسارة التدريب</translation>
    </message>
    <message>
        <source>Evaluation loss</source>
        <translation>خسارة التقييم</translation>
    </message>
    <message>
        <source>Step</source>
        <translation>الخطوة</translation>
    </message>
    <message>
        <source>Chart of the loss over the steps</source>
        <translation>مخطط الخسارة عبر الخطوات</translation>
    </message>
</context>
<context>
    <name>masbak::gui::MainWindow</name>
    <message>
        <source>Masbak console</source>
        <translation>لوحة مسبك</translation>
    </message>
    <message>
        <source>Masbak</source>
        <translation>مسبك</translation>
    </message>
    <message>
        <source>Pages</source>
        <translation>الصفحات</translation>
    </message>
    <message>
        <source>Change the language</source>
        <translation>غيّر اللغة</translation>
    </message>
    <message>
        <source>Light</source>
        <translation>فاتح</translation>
    </message>
    <message>
        <source>Dark</source>
        <translation>داكن</translation>
    </message>
    <message>
        <source>Change between light and dark</source>
        <translation>بدّل بين المظهر الفاتح والداكن</translation>
    </message>
    <message>
        <source>the installation</source>
        <translation>التثبيت</translation>
    </message>
    <message>
        <source>%1 does not answer; trying again. Jobs go on without the console. If nothing runs, start it with: masbak up</source>
        <translation>لا يستجيب %1، وتُعاد المحاولة. تستمر المهام من دون هذه اللوحة. إن لم يكن شيء قيد التشغيل فابدأه بالأمر: ⁦masbak up⁩</translation>
    </message>
    <message>
        <source>%1 answers, but not to this console: %2</source>
        <translation>يستجيب %1 لكنه يرفض هذه اللوحة: %2</translation>
    </message>
</context>
<context>
    <name>masbak::gui::OverviewPage</name>
    <message>
        <source>jobs running</source>
        <translation>مهام قيد التنفيذ</translation>
    </message>
    <message>
        <source>versions kept</source>
        <translation>إصدارات محفوظة</translation>
    </message>
    <message>
        <source>deployments ready</source>
        <translation>عمليات نشر في الخدمة</translation>
    </message>
    <message>
        <source>nodes ready</source>
        <translation>عُقد في الخدمة</translation>
    </message>
    <message>
        <source>Needs attention</source>
        <translation>ما يحتاج إلى انتباه</translation>
    </message>
    <message>
        <source>In production</source>
        <translation>في الإنتاج</translation>
    </message>
    <message>
        <source>Latest jobs</source>
        <translation>أحدث المهام</translation>
    </message>
    <message>
        <source>Table of jobs</source>
        <translation>جدول المهام</translation>
    </message>
    <message>
        <source>No job yet. Start a fine-tune, and it appears here.</source>
        <translation>لا مهام بعد. ابدأ ضبطًا دقيقًا فيظهر هنا.</translation>
    </message>
    <message>
        <source>Start a fine-tune</source>
        <translation>ابدأ ضبطًا دقيقًا</translation>
    </message>
    <message>
        <source>Ask a question</source>
        <translation>اطرح سؤالًا</translation>
    </message>
    <message>
        <source>Job %1 failed: %2</source>
        <translation>فشلت المهمة %1: %2</translation>
    </message>
    <message>
        <source>Version %1 was refused: %2</source>
        <translation>رُفض الإصدار %1: %2</translation>
    </message>
    <message>
        <source>Node %1 has not been heard of since %2</source>
        <translation>لم يصل شيء من العقدة %1 منذ %2</translation>
    </message>
    <message>
        <source>Nothing: every job, version and node is well.</source>
        <translation>لا شيء: المهام والإصدارات والعُقد كلها بخير.</translation>
    </message>
    <message>
        <source>%1 is %2, evaluation loss %3</source>
        <translation>الاسم %1 يشير إلى %2، وخسارة التقييم %3</translation>
    </message>
    <message>
        <source>%1 answers at %2</source>
        <translation>يجيب %1 على العنوان %2</translation>
    </message>
    <message>
        <source>Nothing yet. A version gets here once its gate has passed.</source>
        <translation>لا شيء بعد. يصل الإصدار إلى هنا متى اجتاز بوابته.</translation>
    </message>
    <message>
        <source>Overview</source>
        <translation>نظرة عامة</translation>
    </message>
</context>
<context>
    <name>masbak::gui::Page</name>
    <message>
        <source>%1 did not work: %2</source>
        <translation>تعذّر %1: %2</translation>
    </message>
</context>
<context>
    <name>masbak::gui::StartPage</name>
    <message>
        <source>Base model</source>
        <translation>النموذج الأساس</translation>
    </message>
    <message>
        <source>The open model to start from.</source>
        <translation>النموذج المفتوح الذي تنطلق منه.</translation>
    </message>
    <message>
        <source>Data</source>
        <translation>البيانات</translation>
    </message>
    <message>
        <source>What it should learn: conversations from your plant.</source>
        <translation>ما ينبغي أن يتعلّمه: محادثات من منشأتك.</translation>
    </message>
    <message>
        <source>Evaluation data</source>
        <translation>بيانات التقييم</translation>
    </message>
    <message>
        <source>Held back from training, to see whether it learns or only memorises.</source>
        <translation>تُحجب عن التدريب ليتبيّن هل يتعلّم أم يحفظ فحسب.</translation>
    </message>
    <message>
        <source>Name</source>
        <translation>الاسم</translation>
    </message>
    <message>
        <source>The versions are kept under this name: small letters, digits and hyphens.</source>
        <translation>تُحفظ الإصدارات بهذا الاسم: أحرف لاتينية صغيرة وأرقام وشُرَط.</translation>
    </message>
    <message>
        <source>What trains</source>
        <translation>ما يُدرَّب</translation>
    </message>
    <message>
        <source>Experts hold most of the knowledge; attention alone is quicker.</source>
        <translation>يحمل الخبراء معظم المعرفة، والاقتصار على الانتباه أسرع.</translation>
    </message>
    <message>
        <source>Passes over the data</source>
        <translation>دورات على البيانات</translation>
    </message>
    <message>
        <source>More passes learn facts better and take longer.</source>
        <translation>كثرة الدورات تُرسّخ الحقائق وتستغرق وقتًا أطول.</translation>
    </message>
    <message>
        <source>Rank of the adapter</source>
        <translation>رتبة المُهايئ</translation>
    </message>
    <message>
        <source>Its capacity. 16 suits most data; facts may want more.</source>
        <translation>سعته. تناسب 16 معظم البيانات، وقد تحتاج الحقائق إلى أكثر.</translation>
    </message>
    <message>
        <source>Examples a step</source>
        <translation>أمثلة كل خطوة</translation>
    </message>
    <message>
        <source>Smaller needs less memory.</source>
        <translation>العدد الأصغر يحتاج إلى ذاكرة أقل.</translation>
    </message>
    <message>
        <source>Learning rate</source>
        <translation>معدّل التعلّم</translation>
    </message>
    <message>
        <source>How far each step goes. Lower it if the loss jumps.</source>
        <translation>مقدار ما تقطعه كل خطوة. اخفضه إن تذبذبت الخسارة.</translation>
    </message>
    <message>
        <source>Attention and all experts</source>
        <translation>الانتباه والخبراء جميعًا</translation>
    </message>
    <message>
        <source>Attention alone</source>
        <translation>الانتباه وحده</translation>
    </message>
    <message>
        <source>Everything</source>
        <translation>كل شيء</translation>
    </message>
    <message>
        <source>The run file that this makes</source>
        <translation>ملف التشغيل الناتج</translation>
    </message>
    <message>
        <source>Start</source>
        <translation>ابدأ</translation>
    </message>
    <message>
        <source>none</source>
        <translation>لا يوجد</translation>
    </message>
    <message>
        <source>Choose a base model and data, and give it a name.</source>
        <translation>اختر نموذجًا أساسًا وبيانات، ثم سمِّ النموذج.</translation>
    </message>
    <message>
        <source>Starting the fine-tune</source>
        <translation>بدء الضبط الدقيق</translation>
    </message>
    <message>
        <source>Start a fine-tune</source>
        <translation>ابدأ ضبطًا دقيقًا</translation>
    </message>
</context>
<context>
    <name>masbak::gui::VersionsPage</name>
    <message>
        <source>Versions</source>
        <translation>الإصدارات</translation>
    </message>
    <message>
        <source>Table of versions</source>
        <translation>جدول الإصدارات</translation>
    </message>
    <message>
        <source>No version yet. Each fine-tune that ends well becomes a version, which never changes.</source>
        <translation>لا إصدارات بعد. كل ضبط دقيق يكتمل بنجاح يصير إصدارًا لا يتغيّر.</translation>
    </message>
    <message>
        <source>Promote to production</source>
        <translation>اعتماد للإنتاج</translation>
    </message>
    <message>
        <source>Deploy</source>
        <translation>انشر</translation>
    </message>
    <message>
        <source>What the gate found</source>
        <translation>ما وجدته البوابة</translation>
    </message>
    <message>
        <source>Reading the gate&apos;s report</source>
        <translation>الاطلاع على تقرير البوابة</translation>
    </message>
    <message>
        <source>No version selected</source>
        <translation>لم يُحدَّد إصدار</translation>
    </message>
    <message>
        <source>base %1  ·  data %2  ·  adapter %3  ·  run %4</source>
        <translation>الأساس %1  ·  البيانات %2  ·  المُهايئ %3  ·  التشغيل %4</translation>
    </message>
    <message>
        <source>No gate has run for this version, so it cannot be promoted. Run one with: masbak gate run</source>
        <translation>لم يمرّ هذا الإصدار ببوابة بعد، فلا يمكن اعتماده. شغّل بوابة بالأمر: ⁦masbak gate run⁩</translation>
    </message>
    <message>
        <source>Passed</source>
        <translation>مستوفاة</translation>
    </message>
    <message>
        <source>Refused</source>
        <translation>غير مستوفاة</translation>
    </message>
    <message>
        <source>Promote</source>
        <translation>اعتماد</translation>
    </message>
    <message>
        <source>Point the alias “production” at %1? Whoever asks for production gets this version from then on.</source>
        <translation>هل تجعل الاسم المستعار «⁦production⁩» يشير إلى %1؟ كل من يطلب نسخة الإنتاج سيحصل على هذا الإصدار منذ الآن.</translation>
    </message>
    <message>
        <source>Not now</source>
        <translation>ليس الآن</translation>
    </message>
    <message>
        <source>Promoting the version</source>
        <translation>اعتماد الإصدار</translation>
    </message>
    <message>
        <source>Deploying the version</source>
        <translation>نشر الإصدار</translation>
    </message>
</context>
</TS>
