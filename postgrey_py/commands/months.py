# SPDX-License-Identifier: GPL-2.0-or-later
# ruff: noqa: RUF001 - letters of other alphabets are what this is about
"""The short names of months in other languages than English, as journalctl and other programs write them into logs.

Called by `logtime`. The names are those of the locales of the GNU C library (`%b`), in small letters, with `_`
for a space; where a rare language has the name that a common one has for another month, it is left out.
"""

from __future__ import annotations

import contextlib
import re
from functools import cache, lru_cache

# January first. A name that is of two months stands in both: lis is October in Croatian and November in Polish.
# fmt: off
_NAMES = (
    (
        "ama ark bhi chi de_gen. dja ean ene eni faoi fer gen gen. ghe ian ini ion j-guer jaan jan jan. janv. "
        "jen jän kob kohi kwe kăr led mqu mut oca ođđj pet pha phe qun s-ɔ san sau saus. siakwa_kati sii sij "
        "sty stë sun sñt sān tammi urt xan xin yan yen zan zen çil ýan ğın ιαν ажь гыйн сту січ тохс шрк "
        "янв яну јан қаң հնվ יאַנ ינו جانفي جنؤری جنوري جنوری كانون_الثاني يانۋار ينا يناير ژانویه ޖެނުއަރީ "
        "जन जनवरी जन॰ जानुवारी जाने जानेवारी बैसाख জান জানু ਜਨ જાન્યુ ଜାନୁଆରୀ ஜன ஜன. జన ಜ ಜನ ജനു ජන ม.ค. ມ.ກ. "
        "ဂျာန် ဇန် လိူၼ်ၵမ် იან ልደት ጃንዩ ጠሐረ ጥሪ ᔮᓄ ṣẹ́rẹ́ 一 一月 ꭴꮓ"
    ),
    (
        "chk chw col cʼhw de_febr. fab fbl feabh feb feb. febr febr. fee fep fev few fib fiw fra fre fur fév "
        "févr. fēp gas gearr gro guov gur helmi hla hor hui hwe k-ɔ kup kuswa_kati lab luh lut mdu nah nar "
        "ots peb phi shk sib sñs t-arree thang tlh tsi van vas vas. veebr velj èrèlè úno şub φεβ ақп жәаб "
        "лют олун пгж феб фев փտր פֿעב פבר شباط شوب فبر فبراير فبروري فرؤری فروري فروری فوریه فيفري فېۋرال "
        "ܫܒܛ ފެބްރުއަރީ जेठ फबरवरी फर फरवरी फ़रवरी फ़र॰ फेब्रु फेब्रुअरी फेब्रुवारी ফেব ফেব্ৰু ਫ਼ਰ ફેબ્રુ "
        "ଫେବୃଆରୀ பிப் பிப். ఫిబ్ర ಫೆ ಫೆಬ್ರ ഫെബ്രു පෙබ ก.พ. ກ.ພ. ဖေ လိူၼ်သၢမ် ဝှေဝ် თებ ለካቲ ከተተ ካብኽ ፌብሩ ᕕᕗ 二 "
        "二月 ꭷꭶ"
    ),
    (
        "ada bit bře cig de_març e-ɔ fam kakamuk_kati kov. kul kuo maa maalis mac mar mars març mas "
        "mat maw mayrnt maʻa mbo meu meɣ mie mop moz mrt msi màrt márc márta mäe mär märts mås měr njuk ožu "
        "pan pou puš sad sak sqe str the tlh uya vul wer xam μάρ μαρ бер кул мар нау сак хәажә ӱрн մար מאַר "
        "מרץ آذار ئاز مار مارت مارس مارٕچ مارچ ܐܕܪ މާރޗް अषाढ़ मार्च मार्चि मार्स মার মার্চ মাৰ্চ ਮਾਰਚ માર્ચ "
        "ମାର୍ଚ୍ଚ மார் மார். మార్చి ಮಾ ಮಾರ್ಚ್ മാർ මාර් มี.ค. ມ.ນ. မတ် မာတ် လိူၼ်သီႇ მარ መገበ መጋቢ ማርች ክብላ ᒪᔅ "
        "ẹrẹ̀nà 三 三月 ꭰꮕ"
    ),
    (
        "abr abr. afi afr agd aib aka ape api apl apr april apu arv avr avril avrril awr bal bal. cuoŋ dub "
        "dzi d’abr. e-o ebr elb eph epr gibl huhti jang kra kwe kwi lam lî_wainhka_kati mab mat mme mor nis "
        "nîs pae pri qil see tay tra tsh yeb ápr éwt ìgbé łżë ʻepe απρ апр вшр кві кра муус мш сәу ապր אַפּר "
        "אפר آوریل أبر أبريل أفريل ئاپرېل اپريل اپریل نيسان نیس ܢܝܣܢ އެޕްރީލް अप अप्रिल अप्रेल अप्रै अप्रैल "
        "एप्रि एप्रिल एप्रैल सावोन এপ্রি এপ্রিল এপ্ৰিল ਅਪ੍ਰੈ એપ્રિલ ଅପ୍ରେଲ ஏப் ஏப். ఏప్రి ಏ ಏಪ್ರಿ ഏപ്രി เม.ย. "
        "ມ.ສ. လိူၼ်ႁႃႈ အေ ဧပြီ აპრ ሚያዝ አኀዘ ኤፕረ ፋጅኺ ᐃᐳ 四 四月 ꭷꮼ"
    ),
    (
        "aru beal boaldyn cam can cax cèit de_maig duu e-k ell geg geg. gic gul hara keg khk kvě "
        "lih_mairin_kati maa mae mag mai maig maj may maz maí maý me mee mei mej mey mies moj mot mud máj môj "
        "mē sha shu sup svi tai touko şu μάι μαΐ ага лаҵ май мам мая мај тра ыам մայ מאי מײַ أيار ئای مئی ماي "
        "مايو مه مي مٓی میٔ مۍ ܐܝܪ މެއި भादो मई मे मेई মে ਮਈ મે ମଇ மே మే ಮೇ മേയ് මැයි พ.ค. ພ.ພ. မေ လိူၼ်ႁူၵ်း "
        "მაი ሜይ ክቢቅ ግንባ ግንቦ ᒪᐃ ẹ̀bibi 五 五月 ꭰꮒ"
    ),
    (
        "birž. brá bėr chn cze czy de_juny djn eka geas giu haz hez hun iun iyn iýn iġñ i̇yn jen jon jug "
        "juin jun junh juni juny juu juuni jún jūn kam kesä kho lip lix lwi làm lî_kati m-souree meh "
        "meith met mezh nhl nip o-a pipi qas qer see sil sun suw teg tsp vos wax xun xuñ yun yün zin zûg ògmh "
        "òkúdu čen čer ġun şĕr ιουν ιούν бэс июн июнь мау пдш рашә чер чэр юни јун հնս יונ ئىيۇن جوان جون "
        "جوٗن حزيران حوز يون يونيو ژوئن ܚܙܝܪܢ ޖޫން आसिन जुन जून जूनि জুন ਜੂਨ જૂન ଜୁନ ஜூன் జూన్ ಜೂ ಜೂನ್ ജൂൺ "
        "ජූනි มิ.ย. ມິ.ຖ. ဂျုန် ဇွန် လိူၼ်ၸဵတ်း ივნ ም/ት ሠንየ ሰነ ጁን ᔪᓂ 六 六月 ꮥꭽ"
    ),
    (
        "a-k ado agẹmọ arg chl de_jul. djl gor gou hei heinä hul hōngoi itc iuch iul iyl iúil iýl i̇yl "
        "j-souree jak jiy jol jui juil. jul jul. juli juuli júl jūl kha kho kor kun lai liep. lip lug lui lul "
        "lwa lëp lûg maw mor nya pastara_kati phu qad siu srp sul suoi tem tod tqw tîr upu ută uzt xnt xul "
        "yul yül zil čec ιουλ ιούλ июл июль лип ліп от срм шіл юли јул ԥхынгә հլս יול ئىيۇل تموز تەم جولاءِ "
        "جولائی جولاي جولای جويلية جوٗلایی يول يوليو يوليوز ژوئیه ܬܡܘܙ ޖުލައި कातिक जुल जुला जुलाइ जुलाई जुलै "
        "जुल॰ जूलाइ जूलै জুল জুলাই ਜੁਲਾ જુલાઈ ଜୁଲାଇ ஜூலை జులై ಜು ಜುಲೈ ജൂലൈ ජූලි ก.ค. ກ.ລ. ဂျူ ဇူ လိူၼ်ပႅတ်ႇ "
        "ივლ ሐመለ ሓምለ ኰር ጁላይ ᔪᓚ 七 七月 ꭻᏸ"
    ),
    (
        "abu ag. aga ago ago. agt agu aog aok aoû août arh aug aug. aus avg avo avq awg awo aws awu aww ağu "
        "aŭg borg ct̓é d-ɔ d’ag. elo eos est gsh hag here juk kan kol leq luanistyn lùna lún mha ngc ngu oga "
        "ogos ogs oug pai pha rgp rugp. sid sie sikla_kati srp teb thu tiñ uut win yag zél ágú ògún ögu "
        "öig şur žni ɣuc ʻaok αυγ αύγ авг атыр жні нанҳә сер срл там օգս אוג אױג آب آقۇست آگسٽ أغس أغسطس أوت "
        "ئاب ئاۋغۇست اوت اګست اگست غشت ܐܒ އޮގަސްޓް अग अगस्ट अगस्त अगहन अग॰ आगस्टु आगस्थ ऑग ओगस्ट আগ আগস্ট ਅਗ "
        "ઑગસ્ટ ଅଗଷ୍ଟ ஆக ஆக. ఆగ ಆ ഓഗ අගෝ ส.ค. ສ.ຫ. လိူၼ်ၵဝ်ႈ အဝ် ဩ აგვ ማርያ ነሐሰ ነሓሰ ኦገስ ᐊᒋ ọgọ 八 八月 ꭶꮆ"
    ),
    (
        "ami avă cab chi cte cut dait de_set. eyl f-ɛ ful gwe gwn her ira khu leo lwe m-fouyir mahu med mfómh "
        "msi ndz nyo nze owewe qel rugs. ruj sag sat seb sen sep sep. sept sept. set set. sht sin sip sit "
        "slt stb sult syys szept sèp séw tah vie way wrz wîs_kati zář îlo čakč σεπ бал вер идм сен сент сеп "
        "цәыб қыр սեպ סעפּ ספט أيلول ئەی سبت سبتمبر ستمبر سيپٽيمبر سپتامبر سپتمبر سېنتەبىر شتنبر ܐܝܠܘܠ "
        "ސެޕްޓެންބަރ पूस सप्टें सित सितंबर सितम्बर सित॰ सेप्टेंबर सेप्टेंबरू सेप्टेम्बर सेबथेज्ब़र সেপ সেপ্ট "
        "সেপ্টেম্বর ਸਤੰ સપ્ટે ସେପ୍ଟେମ୍ବର செப் செப். సెప్టెం ಸೆ ಸೆಪ್ಟೆಂ സെപ്റ്റം සැප් ก.ย. ກ.ຍ. စက် လိူၼ်သိပ်း "
        "သိပ် სექ መስከ ሴፕቴ ከረመ ያኸኒ ᓯᑎ 九 九月 ꮪꮅ"
    ),
    (
        "cot dfómh dip dit dwa dàmh d’oct. eki golg hed her hyd imp ipam j-fouyir jup kṭu lad lis loka "
        "mph nhl och oct oct. oke oki okt okt. onk ott otu out paź phe puk sik spa spal. tet tob tsh tub "
        "ukt ukw urr waupasa_kati whi-nu wél wím yar ökt ött ükt říj ɔ-a ɔtb ʻoka οκτ алт жов жьҭ кас окт шыж "
        "қаз հոկ אָקט אוק آڪٽوبر أكت أكتوبر ئۆكتەبىر اكتبر اكتوبر اوْکتوْبر اکتوبر اکتوٗبر تشرين_الأول "
        "އޮކްޓޫބަރ अकटू अक्टू अक्टूबर अक्टोबर अक्तूबर अक्तू॰ अखथबर आक्टूबरू ऑक्टो ओक्टोबर माघ অক্টো অক্টোবর "
        "ওক্ত ਅਕਤੂ ઑક્ટો ଅକ୍ଟୋବର அக் அக். అక్టో ಅ ಅಕ್ಟೋ ഒക്ടോ ඔක් ต.ค. ຕ.ລ. လိူၼ်သိပ်းဢဵတ်း အောက် အံက် ოქტ "
        "መተሉ ኦክተ ጠቀመ ጥቅም ᐊᑦ ọkt ọ̀wàrà 十 十月 ꮪꮒ"
    ),
    (
        "aza bélú cük de_nov. du huk jol kas kit kun lap lapkr. lis lwe lës m.houney marras mij ngw nip nka "
        "nob nof nov nov. now noy noý nuv nuw nvb nën nóv nôv nöw nōv onn pay phai pud sad samh shin skáb stu "
        "tach ugu usi wam whi-ra win xim yahbra_kati ɔ-o νοέ νοε абҵ клм лис ліс нов ное ноя нояб сэт қар նմբ "
        "נאָװ נוב تشرين_الثاني نوامبر نوف نوفمبر نومبر نونبر نويابىر نوْوامبر ނޮވެންބަރ नबेज्ब़र नव नवंबर "
        "नवंबरू नवम्बर नव॰ नोभेम्बर नोव्हें नोव्हेंबर फागुन নবে নভে নভেম্বর ਨਵੰ નવે ନଭେମ୍ବର நவ நவ. నవం ನ ನವೆಂ "
        "നവം නෙවැ พ.ย. ພ.ຈ. နဝ် နို လိူၼ်သိပ်းသွင် ნოე ሕዳር ም/ም ኀደረ ኖቬም ᓄᕕ ḽar 十一 十一月 ꮕꮣ"
    ),
    (
        "abe ara avi bow chr de_des. dec dec. dek des des. dets dez dhj dic dik dis dix diċ dsb duj déc déc. "
        "dùbh grd gru gruod. gòd haki joulu juov kan kax ker kev lit m-ɔ m.nollick mati mng mud mux n'w nad "
        "ngo noll nye pro raš rha ris sak sed siq tes tet tis trisu_kati tsh tīs uku śni δεκ ахс гру дек дец "
        "жел сне тел ԥхынҷ դեկ דעצ דצמ دجنبر دسامبر دسمبر ديس ديسمبر دېكابىر كانون_الأول ڊسمبر ޑިސެންބަރ चैति "
        "डिसें डिसेंबर डिसेम्बर दिस दिसंबर दिसम्बर दिसेज्ब़र दिस॰ ॾिसंबरू ডিস ডিসে ডিসেম্বর ਦਸੰ ડિસે ଡିସେମ୍ବର "
        "டிச டிச. డిసెం ಡಿ ಡಿಸೆಂ ഡിസം දෙසැ ธ.ค. ທ.ວ. ဒီ ဒဳ လိူၼ်ၸဵင် დეკ ተሕሳ ታሕሳ ኀሠሠ ዲሴም ᑎᓯ ọ̀pẹ̀ 十二 十二月 ꭵꮝ"
    ),
)
# fmt: on

# A name may be written in UTF-8, or in what was usual before it.
_ENCODINGS = ("utf-8", "iso8859-1", "iso8859-2", "iso8859-9", "iso8859-13", "iso8859-5", "koi8-u", "iso8859-7")

# As in Chinese, Japanese, Korean, Vietnamese and Mongolian: the number is the name.
_NUMBERED = re.compile(rb"(?:[Tt]hg |Th)?(\d\d?)(?:\xe6\x9c\x88|\xec\x9b\x94|g|-\xd1\x80 \xd1\x81\xd0\xb0\xd1\x80)?")


@lru_cache(1024)
def months_of(name: str) -> tuple[int, ...]:
    """Return the months, 1 to 12, that have this name, in whatever language; none where it is no month's.

    The name is Latin-1 text, one character for each byte of the log.
    """
    octets = name.encode("latin-1")
    found = _NUMBERED.fullmatch(octets)
    if found is not None and found[0] != found[1]:
        return (int(found[1]),) if 1 <= int(found[1]) <= 12 else ()
    for encoding in _ENCODINGS:
        with contextlib.suppress(UnicodeDecodeError):
            months = _months_by_name().get(octets.decode(encoding).lower())
            if months is not None:
                return months
    return ()


@cache
def _months_by_name() -> dict[str, tuple[int, ...]]:
    months: dict[str, tuple[int, ...]] = {}
    for month, names in enumerate(_NAMES, start=1):
        for name in dict.fromkeys((*names.split(), *names.replace(". ", " ").rstrip(".").split())):
            key = name.replace("_", " ")
            months[key] = (*months.get(key, ()), month)
    return months
